"""What the commands of both servers share: the loop, signals, a parent that dies, the API key and the ready line."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from model_server.app import App
from model_server.serving import Serving, bind, raise_file_limit
from model_server.serving import serve as serve_app
from model_server.settings import BOUNDS, FaceSettings

API_KEY_VARIABLE = "PACELINE_API_KEY"
LINGER_S = 2.0
"""The clients of a parent that was killed notice a little later; till then they get answers, not refusals."""


class ApiKeyError(ValueError):
    """The API key of the environment cannot be used; the message says why and what to do."""


class BoundsError(ValueError):
    """A bound that an option names cannot be; the message says what is allowed."""


def face_settings(bounds: Mapping[str, Any] | None = None) -> FaceSettings:
    """The usual bounds or these, and the API key of the environment: on a command line others could read it.

    Blanks and line ends around the key are dropped, as files and secret stores add them. Raises `ApiKeyError`.
    """
    given = os.environ.get(API_KEY_VARIABLE)
    bounded = bounds or {}
    if given is None:
        return FaceSettings(**bounded)
    key = given.strip()
    if not key:
        message = f"{API_KEY_VARIABLE} is set and empty: give it a key, or unset it for a server that is open to all"
        raise ApiKeyError(message)
    try:
        return FaceSettings(**bounded, api_key=key)
    except ValueError as error:
        raise ApiKeyError(f"{API_KEY_VARIABLE}: {error}") from None


def serve(
    create: Callable[[], App],
    host: str,
    port: int,
    *,
    ready: Callable[[str], None] = lambda url: None,
    exit_with_stdin: bool = False,
    grace_s: float = 30.0,
    on_serving: Callable[[Serving], None] = lambda serving: None,
) -> None:
    """Serve what `create` gives on this thread until SIGINT, SIGTERM or (if asked) the end of stdin.

    The address is bound first, so that a port in use is known before anything slow; `ready(url)` is called once it
    listens. Raises `PortError`, and what `create` raises.
    """
    raise_file_limit()
    sock = bind(host, port)
    try:
        app = create()
    except BaseException:
        sock.close()
        raise

    def begin(serving: Serving) -> None:
        on_serving(serving)
        if threading.current_thread() is threading.main_thread():
            serving.handle_signals()
        if exit_with_stdin:
            _stop_at_end_of_stdin(serving)

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve_app(app, sock, ready=ready, grace_s=grace_s, on_serving=begin))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # pragma: no cover - not available on Windows
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _stop_at_end_of_stdin(serving: Serving) -> None:
    """A parent that dies closes our stdin; reading it is the one way to learn of that on every system."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        while os.read(0, 4096):
            pass
        time.sleep(LINGER_S)
        serving.grace_s = 0.0
        loop.call_soon_threadsafe(serving.stop)

    threading.Thread(target=read, daemon=True, name="stdin").start()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to listen, and how to tell of it."""
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--port-file", type=Path, default=None, metavar="FILE", help="write the ready line there too")
    parser.add_argument("--exit-with-stdin", action="store_true", help="stop when stdin ends (the parent died)")

    for bound in BOUNDS:
        parser.add_argument(
            bound.option,
            dest=bound.field,
            type=bound.type,
            default=getattr(FaceSettings, bound.field),
            metavar="N" if bound.type is int else "S",
            help=bound.help.rstrip("."),
        )
    parser.add_argument(
        "--cors-origin",
        dest="cors_origins",
        action="append",
        default=[],
        metavar="ORIGIN|*",
        help="web pages whose scripts may call; repeatable",
    )


def bounds_of(given: argparse.Namespace) -> dict[str, Any]:
    """The settings of the face that the options name; raises `BoundsError`."""
    bounds = {bound.field: getattr(given, bound.field) for bound in BOUNDS}
    bounds["cors_origins"] = tuple(given.cors_origins)
    try:
        FaceSettings(**bounds)
    except ValueError as error:
        raise BoundsError(str(error)) from None
    return bounds


def tell_ready(facts: dict[str, Any], port_file: Path | None) -> None:
    """The ready line: one line of JSON on stdout, and in the file if one is asked for."""
    line = json.dumps({**facts, "pid": os.getpid()})
    if port_file is not None:
        temporary = port_file.with_suffix(".tmp")
        temporary.write_text(line + "\n", encoding="utf-8")
        temporary.replace(port_file)
    print(line, flush=True)

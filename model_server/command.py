"""Shared parts of both server commands: event loop, signals, exit with the parent, API key and ready line."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.base.options import filled, option
from model_server.http.app import App
from model_server.http.bounds import FaceSettings
from model_server.http.serving import Serving, bind, raise_file_limit
from model_server.http.serving import serve as serve_app

API_KEY_VARIABLE = "PACELINE_API_KEY"
LINGER_S = 2.0
"""Seconds to keep serving after the parent process has ended, until its clients have ended too."""


class ApiKeyError(ValueError):
    """The API key of the environment cannot be used; the message names the reason and the remedy."""


class BoundsError(ValueError):
    """An option sets a bound to an invalid value; the message names the allowed values."""


def bounds_of(values: Mapping[str, Any]) -> FaceSettings:
    """The bounds from the options; raises `BoundsError`."""
    try:
        return filled(FaceSettings, values)
    except ValueError as error:
        raise BoundsError(str(error)) from None


def face_settings(bounds: FaceSettings | None = None) -> FaceSettings:
    """The given or default bounds with the API key of the environment; other users could read a command line.

    Blanks and line ends around the key are removed: files and secret stores add them. Raises `ApiKeyError`.
    """
    given = os.environ.get(API_KEY_VARIABLE)
    bounds = bounds or FaceSettings()
    if given is None:
        return bounds
    key = given.strip()
    if not key:
        message = f"{API_KEY_VARIABLE} is set and empty: give it a key, or unset it for a server that is open to all"
        raise ApiKeyError(message)
    try:
        return replace(bounds, api_key=key)
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
    """Serve the app that `create` returns on this thread until SIGINT, SIGTERM or, if requested, the end of stdin.

    The address is bound first, so that a port in use is reported before anything slow; `ready(url)` is called when
    the server listens. Raises `PortError` and the exceptions of `create`.
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
    """Stop at the end of stdin: the one sign on every system that the parent process has ended."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        while os.read(0, 4096):
            pass
        time.sleep(LINGER_S)
        serving.grace_s = 0.0
        loop.call_soon_threadsafe(serving.stop)

    threading.Thread(target=read, daemon=True, name="stdin").start()


@dataclass(frozen=True)
class Listening:
    """Address of a server, and the file for its ready line."""

    host: str = option("127.0.0.1", "Address to bind; any other than this one lets other machines call.")
    port: int = option(0, "Port to bind; 0 chooses a free one.", least=0, most=65535)
    port_file: Path | None = option(None, "Write the ready line there, too.", kind=Path, metavar="FILE")
    exit_with_stdin: bool = option(False, "Stop when stdin ends, because the parent process has ended.")


def tell_ready(facts: dict[str, Any], port_file: Path | None) -> None:
    """Print the ready line, one line of JSON, on stdout; write it to `port_file` too, if given."""
    line = json.dumps({**facts, "pid": os.getpid()})
    if port_file is not None:
        temporary = port_file.with_suffix(".tmp")
        temporary.write_text(line + "\n", encoding="utf-8")
        temporary.replace(port_file)
    print(line, flush=True)

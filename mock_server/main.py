"""`python -m mock_server`: serve a profile until stopped.

The first line on stdout is JSON, `{"url", "profile", "pid", "note"}`, written once it listens. A user's mistake is one
line on stderr and exit code 2.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mock_server.app import create
from mock_server.engine import scale_note
from mock_server.profile import Profile
from mock_server.profiles import ProfileError, load
from model_server.serving import PortError, Serving, bind, raise_file_limit
from model_server.serving import serve as serve_app
from model_server.settings import FaceSettings

API_KEY_VARIABLE = "PACELINE_API_KEY"


def serve(
    profile: Profile | str,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    speed: float | None = None,
    seed: int | None = None,
    ready: Callable[[str], None] = lambda url: None,
    exit_with_stdin: bool = False,
    grace_s: float = 30.0,
) -> None:
    """Serve a profile on this thread until SIGINT, SIGTERM or (if asked) the end of stdin.

    `ready(url)` is called once it listens. Raises `ProfileError` or `PortError` before that.
    """
    settings = FaceSettings(api_key=os.environ.get(API_KEY_VARIABLE) or None)
    app = create(profile, speed=speed, seed=seed, settings=settings)
    raise_file_limit()
    sock = bind(host, port)

    def on_serving(serving: Serving) -> None:
        if threading.current_thread() is threading.main_thread():
            serving.handle_signals()
        if exit_with_stdin:
            _stop_at_end_of_stdin(serving)

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve_app(app, sock, ready=ready, grace_s=grace_s, on_serving=on_serving))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # pragma: no cover - not available on Windows
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


LINGER_S = 2.0
"""The clients of a parent that was killed notice a little later; till then they get answers, not refusals."""


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mock_server", description="Serve a simulated model server.")
    parser.add_argument("--profile", default="constant-120ms", metavar="NAME|FILE.toml", help="shipped or your own")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--speed", type=float, default=None, metavar="F", help="divide every time of the profile by F")
    parser.add_argument("--seed", type=int, default=None, metavar="N")
    parser.add_argument("--port-file", type=Path, default=None, metavar="FILE", help="write the ready line there too")
    parser.add_argument("--exit-with-stdin", action="store_true", help="stop when stdin ends (the parent died)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    arguments = _parser().parse_args(argv)

    def ready(url: str) -> None:
        speed = profile.speed if arguments.speed is None else arguments.speed
        note = scale_note(speed).removeprefix("; ") or None
        line = json.dumps({"url": url, "profile": profile.name, "pid": os.getpid(), "note": note})
        if arguments.port_file is not None:
            temporary = arguments.port_file.with_suffix(".tmp")
            temporary.write_text(line + "\n", encoding="utf-8")
            temporary.replace(arguments.port_file)
        print(line, flush=True)

    try:
        profile = load(arguments.profile)
        serve(
            profile,
            arguments.host,
            arguments.port,
            speed=arguments.speed,
            seed=arguments.seed,
            ready=ready,
            exit_with_stdin=arguments.exit_with_stdin,
        )
    except (ProfileError, PortError) as error:
        print(f"mock_server: {error}", file=sys.stderr)
        return 2
    return 0

"""Runs an app on a socket with uvicorn: binding, readiness, graceful stop.

A stop (SIGTERM, SIGINT or `Serving.stop`) first drains: new work gets 503 with Retry-After while in-flight requests
end, for at most `grace_s`; then the sockets are closed. A second signal closes them immediately.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from functools import partial

import uvicorn

from harness.base.clock import clock
from model_server.http.app import App
from model_server.http.protocol import FaceProtocol, Turn

BACKLOG = 8192


class PortError(OSError):
    """The address cannot be bound; the message names it."""


def bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet; raises `PortError` in one line."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except (OSError, OverflowError) as error:
        sock.close()
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise PortError(f"cannot listen on {host}:{port}: {reason}") from error
    return sock


def url_of(sock: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard limit: each client connection is a file."""
    try:
        import resource
    except ImportError:  # pragma: no cover - not on Windows, which has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Serving(uvicorn.Server):
    """A uvicorn server that drains its app before it stops."""

    def __init__(self, app: App, *, grace_s: float = 30.0, ready: Callable[[], None] = lambda: None) -> None:
        config = uvicorn.Config(
            app,
            # uvicorn only needs a factory here.
            http=partial(FaceProtocol, Turn(clock()), app.settings),  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            # Nothing here asks for the address of the client.
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=app.settings.keep_alive_s,  # type: ignore[arg-type] # it is only added to times
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self.app = app
        self.grace_s = grace_s
        self._ready = ready
        self._stopping: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        # Loaded objects live as long as the process: the collector need not check them.
        gc.freeze()
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Keep uvicorn from handling signals: `handle_signals` does, with a graceful stop."""
        yield

    def handle_signals(self) -> None:
        """Stop gracefully on SIGINT and SIGTERM; call it on the loop of the main thread."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)

    def stop(self) -> None:
        """Drain, then stop; the second call stops immediately."""
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._drain())
        else:
            self.force_exit = self.should_exit = True

    async def _drain(self) -> None:
        self.app.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.app.idle.wait(), self.grace_s)
        self.should_exit = True


async def serve(
    app: App,
    sock: socket.socket,
    *,
    ready: Callable[[str], None] = lambda url: None,
    grace_s: float = 30.0,
    on_serving: Callable[[Serving], None] = lambda serving: None,
) -> None:
    """Serve until stopped. `on_serving` is called with the server first, and `ready(url)` when it listens."""
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    serving = Serving(app, grace_s=grace_s, ready=lambda: ready(url_of(sock)))
    on_serving(serving)
    app.open()
    try:
        await serving.serve(sockets=[sock])
    finally:
        await app.aclose()


@asynccontextmanager
async def served(app: App, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve the app on the running loop until the end of the block; gives the URL. Port 0 is a free port."""
    sock = bind(host, port)
    url = url_of(sock)
    serving: list[Serving] = []
    listening = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(app, sock, ready=listening.set_result, grace_s=0.0, on_serving=serving.append))
    await asyncio.wait([task, listening], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield url
    finally:
        serving[0].app.drain()
        serving[0].should_exit = serving[0].force_exit = True
        await task

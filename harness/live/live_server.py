"""Serves a board as a page with server-sent events, and as metrics, from a thread of the process that started the run.

Rules of this file
  1. The run never waits for it but at its end, and there for at most `GRACE_S`. Its errors end the page, not the run.
  2. Every request is checked for its key, or without one for its Host header, and a stop for the token of the page as
     well, so that no other web page can read or stop the run through the user's browser.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from harness.live.address import may_ask
from harness.live.connection_bounds import Connections
from harness.live.exposition import CONTENT_TYPE, render
from harness.live.key import CHALLENGE, Key
from harness.live.page_state import Board

EVERY_S = 1.0
GRACE_S = 2.0
WRITE_S = 5.0
WRONG_KEY_S = 0.5
STREAMS_MAX, REPORTS_MAX = 32, 8
TOKEN_HEADER = "X-Paceline-Token"  # noqa: S105 - the name of a header
_NICE = 10
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
Page = Callable[[str, str], tuple[str, str]]
"""Makes the page from the run's number and the token; returns it with its Content-Security-Policy."""


class LiveServer:
    """Lives from `start` to `close`."""

    def __init__(
        self,
        sock: socket.socket,
        given_host: str,
        board: Board,
        page: Page,
        run: str,
        stop: Callable[[], None],
        key: Key | None = None,
    ) -> None:
        self.token = secrets.token_urlsafe(18)
        self._sock = sock
        self._given_host = given_host
        self._key = key
        self._board = board
        self._page, self._policy = page(run, self.token)
        self._stop = stop
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="live page", daemon=True)
        self._ending = asyncio.Event()
        self._served = asyncio.Event()
        # Replaced whenever there is something new to send.
        self._fresh = asyncio.Event()
        self._state = b""
        self._metrics = ""
        self._over = False
        self._report: bytes | None = None
        self._streams = 0
        self._connections: Connections | None = None
        # Pages that may still fetch the report.
        self._owed = 0
        self._reports = 0
        self._polite = False
        self.failure: str | None = None

    # From the thread of the run.

    def start(self, polite: bool) -> None:
        """Serve. `polite`: at a lower priority than the senders, which are other processes."""
        self._polite = polite
        self._thread.start()

    def tell(self, event: str, facts: dict[str, Any]) -> None:
        """Something happened; never waits."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._on, event, facts)

    def close(self, report: bytes | None = None) -> None:
        """Send the last state to the pages that are open, then end."""

        def end() -> None:
            self._report, self._over = report, True
            self._owed = self._streams if report is not None else 0
            self._publish()
            self._ending.set()
            self._check_served()

        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(end)
        self._thread.join(2 * GRACE_S)

    # In the thread of the page.

    def _run(self) -> None:
        # Linux has a priority for each thread.
        if self._polite and hasattr(os, "setpriority"):
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
        except Exception as error:
            self._failed(error)
        finally:
            self._loop.close()
            self._sock.close()

    async def _main(self) -> None:
        # Otherwise an error of a page that went away is printed into the run's output.
        logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
        app = web.Application(middlewares=[self._guarded], client_max_size=1024)
        app.router.add_get("/", self._get_page)
        app.router.add_get("/events", self._get_events)
        app.router.add_get("/metrics", self._get_metrics)
        app.router.add_get("/report", self._get_report)
        app.router.add_post("/stop", self._post_stop)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)
        await runner.setup()
        assert runner.server is not None  # noqa: S101 - it was set up
        self._connections = Connections(runner.server)
        listening = await self._loop.create_server(self._connections, sock=self._sock)
        ticker = asyncio.create_task(self._tick())
        await self._ending.wait()
        ticker.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._served.wait(), GRACE_S)
        listening.close()
        await runner.cleanup()

    def _check_served(self) -> None:
        """Whether every page that was open has the last state and the report."""
        if self._over and not self._streams and self._owed <= 0:
            self._served.set()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            self._guard(self._board.read)
            if self._streams:
                self._publish()

    def _on(self, event: str, facts: dict[str, Any]) -> None:
        self._guard(lambda: self._board.on(event, facts))
        if self._streams and event != "status":
            self._publish()

    def _publish(self) -> None:
        """Wake the streams with the present state."""
        self._guard(self._encode)
        fresh, self._fresh = self._fresh, asyncio.Event()
        fresh.set()

    def _encode(self) -> None:
        self._state = msgspec.json.encode(self._board.state())

    def _guard(self, call: Callable[[], None]) -> None:
        if self.failure is not None:
            return
        try:
            call()
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self.failure = self.failure or f"{type(error).__name__}: {error}"

    # Requests.

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if (refused := await self._refused(request)) is not None:
            return refused
        assert self._connections is not None  # noqa: S101 - they were made before the first request
        self._connections.begin(request)
        try:
            response: web.StreamResponse = await handler(request)
        except web.HTTPException as error:
            error.headers.update(_HEADERS)
            raise
        finally:
            self._connections.end(request)
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    async def _refused(self, request: web.Request) -> web.Response | None:
        """The answer to a request without the right to ask; None if it has it.

        A page under another name has no key, so the Host header counts only where there is none.
        """
        if self._key is None:
            if may_ask(request.headers.get("Host", ""), self._given_host):
                return None
            return web.Response(status=403, text="this Host is not served here\n", headers=_HEADERS)
        given = request.headers.get("Authorization")
        if given is not None and self._key.allows(given):
            return None
        if given is not None:
            await asyncio.sleep(WRONG_KEY_S)
        challenge = {"WWW-Authenticate": CHALLENGE, **_HEADERS}
        return web.Response(status=401, text="the key of the live page is needed\n", headers=challenge)

    async def _get_page(self, request: web.Request) -> web.Response:
        return web.Response(
            text=self._page, content_type="text/html", headers={"Content-Security-Policy": self._policy}
        )

    async def _get_metrics(self, request: web.Request) -> web.Response:
        self._guard(self._board.read)
        self._guard(self._render)
        if self.failure is not None:
            return web.Response(status=500, text=f"the live page failed: {self.failure}\n")
        return web.Response(body=self._metrics.encode(), headers={"Content-Type": CONTENT_TYPE})

    def _render(self) -> None:
        self._metrics = render(self._board.families())

    async def _get_report(self, request: web.Request) -> web.Response:
        if self._report is None:
            return web.Response(status=404, text="there is no report yet\n")
        if self._reports >= REPORTS_MAX:
            return web.Response(status=503, text="the report is being read by many; ask again\n")
        self._reports += 1
        # After the answer was written.
        self._loop.call_later(0.2, self._paid)
        # Its own policy: it has no scripts.
        return web.Response(body=self._report, content_type="text/html", charset="utf-8")

    def _paid(self) -> None:
        self._owed -= 1
        self._reports -= 1
        self._check_served()

    async def _post_stop(self, request: web.Request) -> web.Response:
        origin = request.headers.get("Origin")
        given = request.headers.get(TOKEN_HEADER, "")
        same = origin is None or origin.partition("://")[2] == request.headers.get("Host")
        if not same or not hmac.compare_digest(given.encode(errors="surrogateescape"), self.token.encode()):
            return web.Response(status=403, text="only the page itself may stop the run\n")
        if not self._board.stoppable:
            return web.Response(status=409, text="there is nothing to stop\n")
        self._on("stop_asked", {})
        self._stop()
        return web.Response(status=202, text="stopping\n")

    async def _get_events(self, request: web.Request) -> web.StreamResponse:
        if self._streams >= STREAMS_MAX:
            return web.Response(status=503, text=f"{STREAMS_MAX} pages are open already\n")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **_HEADERS})
        self._streams += 1
        try:
            await response.prepare(request)
            self._guard(self._board.read)
            self._guard(self._encode)
            await self._stream(response)
        except ConnectionError:
            # The page was closed.
            pass
        except TimeoutError:
            # It does not read: what waits for it is dropped, and its connection with it.
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._streams -= 1
            self._check_served()
        return response

    async def _stream(self, response: web.StreamResponse) -> None:
        await response.write(b"retry: 1000\n\n")
        while True:
            fresh, over = self._fresh, self._over
            failed = b"event: failed\n" if self.failure is not None else b""
            await asyncio.wait_for(response.write(failed + b"data: " + self._state + b"\n\n"), WRITE_S)
            if over:
                return
            await fresh.wait()

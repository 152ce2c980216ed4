"""uvicorn's HTTP protocol and what it lacks: a disconnect as a callback, RST on purpose, our error body, and bounds on
the head of a request and on how long a connection may say nothing."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from model_server.clock import Clock
from model_server.errors import CLOSE, ApiError, Header
from model_server.exchange import CONNECTION, SendMessage

_LINGER_ZERO = struct.pack("ii", 1, 0)
HEADERS_MAX = 100
HEAD_BYTES_MAX = 64 << 10
READ_MAX = 16 << 10
"""Bytes that the parser gets at once. Of a read that ends inside a head, no more than this is counted too late."""
_H2C = re.compile(rb"\r\nupgrade:[ \t]*h2c[ \t]*(?=\r\n)", re.IGNORECASE)
_BODY_FIELDS = (b"content-length", b"transfer-encoding")


class Turn:
    """When the loop's present turn began to read: every request it finds had arrived by then."""

    __slots__ = ("began", "clock")

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.began = 0.0

    def end(self) -> None:
        """The loop has read everything that was there and goes on to run tasks."""
        self.began = 0.0


class FaceProtocol(HttpToolsProtocol):
    """One connection; it is its own `model_server.exchange.Connection`.

    Arrival is stamped for all requests of a turn at once, before the first of them is parsed: with a thousand at a
    time the last one is parsed tens of milliseconds later, which is no part of its service time.
    """

    def __init__(self, turn: Turn, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._turn = turn
        self.arrived = 0.0
        self.on_lost: Callable[[], None] | None = None
        self.lost = False
        self._extensions = {CONNECTION: self}
        self._head_bytes = 0  # of a head that is not complete
        self._fed = 0
        self._in_head = False
        self._problem: ApiError | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        super().connection_made(transport)
        self._arm_keep_alive(self.timeout_keep_alive)  # one that never sends a request is idle too

    def data_received(self, data: bytes) -> None:
        turn = self._turn
        if not turn.began:
            turn.began = turn.clock()
            self.loop.call_soon(turn.end)
        if data.find(b"h2c", 0, 4096) >= 0 and not self._in_head and (self.cycle is None or not self.cycle.more_body):
            data = _without_h2c(data)
        if len(data) <= READ_MAX:
            self._feed(data)
            return
        for start in range(0, len(data), READ_MAX):
            if self.transport.is_closing():
                return
            self._feed(data[start : start + READ_MAX])

    def _feed(self, data: bytes) -> None:
        """Parse a part of the stream. A head is counted from the part after the one in which it begins."""
        goes_on = self._in_head
        self._fed = len(data)
        super().data_received(data)
        if goes_on and self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._problem = _head_too_large()
                self.send_400_response("")

    def on_headers_complete(self) -> None:
        self._in_head = False
        head_bytes, self._head_bytes = self._head_bytes + self._fed, 0
        fields = self.headers
        large = (
            head_bytes > HEAD_BYTES_MAX - READ_MAX
            and sum([len(name) + len(value) for name, value in fields]) > HEAD_BYTES_MAX
        )
        if large or len(fields) > HEADERS_MAX:
            self._problem = _head_too_large()
        elif self.parser.get_http_version() == "1.1" and [name for name, _ in fields].count(b"host") != 1:
            self._problem = ApiError(400, "an HTTP/1.1 request has exactly one Host header", code="invalid_http")
        elif any(name == b"transfer-encoding" and value.lower() != b"chunked" for name, value in fields):
            self._problem = ApiError(501, "the only transfer coding that is understood is chunked", code="invalid_http")
        elif self.parser.should_upgrade() and any(name in _BODY_FIELDS for name, _ in fields):
            # The parser takes what follows for the other protocol, so this body can never be read.
            self._problem = ApiError(400, "a request that asks for an upgrade must have no body", code="invalid_http")
        if self._problem is not None:
            raise ValueError(self._problem.message)  # the parser stops, and uvicorn calls send_400_response
        super().on_headers_complete()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self.arrived = self._turn.began
        self.scope["extensions"] = self._extensions  # type: ignore[typeddict-item] # a dict of dicts by the spec

    @property
    def whole(self) -> bool:
        """All of the body is here. With pipelined requests `cycle` is a later one, which begins where this one ends."""
        return not self.cycle.more_body

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        super().connection_lost(exc)
        callback, self.on_lost = self.on_lost, None
        if callback is not None:
            callback()

    def write_whole(self, status: int, headers: list[Header], body: bytes, send: SendMessage) -> bool:
        """What uvicorn's `send` does in two calls with checks of every header, in one write: a third of the cost of
        an answer. Only for the plain case; everything else goes the long way."""
        cycle = getattr(send, "__self__", None)
        if not isinstance(cycle, RequestResponseCycle) or cycle.response_started or cycle.scope["method"] == "HEAD":
            return False
        if cycle.disconnected or self.flow.write_paused or not cycle.keep_alive or CLOSE in headers:
            return False
        parts = [STATUS_LINE[status]]
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n", body)
        cycle.response_started = cycle.response_complete = True
        self.transport.write(b"".join(parts))
        cycle.message_event.set()
        cycle.on_response()
        return True

    def on_response_complete(self) -> None:
        """As uvicorn's, with one lazy keep-alive timer per connection in place of one per answer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self.timeout_keep_alive_task is None:
            self._arm_keep_alive(self.timeout_keep_alive)

    def _arm_keep_alive(self, delay_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(delay_s, self.timeout_keep_alive_handler)

    def _unset_keepalive_if_required(self) -> None:
        """Called by uvicorn at every read; the timer looks at `arrived` itself when it fires."""
        if self.lost:
            super()._unset_keepalive_if_required()

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it has been idle since; else look again when it would have been."""
        self.timeout_keep_alive_task = None
        idle_s = self._turn.clock() - self.arrived
        busy = self.cycle is not None and not self.cycle.response_complete
        if not busy and idle_s >= self.timeout_keep_alive:
            super().timeout_keep_alive_handler()
        elif not self.transport.is_closing():
            self._arm_keep_alive(max(1.0, self.timeout_keep_alive - idle_s))

    def reset(self) -> None:
        """Close with RST, so that the client sees a reset and not an end."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self._give_up()
        self.transport.abort()

    def cut(self) -> None:
        """Close after what was written; the client sees the connection end inside the answer."""
        self._give_up()
        self.transport.close()

    def _give_up(self) -> None:
        if self.cycle is not None:
            self.cycle.disconnected = True  # uvicorn then expects no more of this answer

    def send_400_response(self, msg: str) -> None:
        """Not HTTP, or not within bounds: answered with the one error body too."""
        problem, self._problem = self._problem or ApiError(400, msg, code="invalid_http"), None
        body = problem.body()
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[problem.status] + head + body)
        self.transport.close()


def _without_h2c(data: bytes) -> bytes:
    """A client that offers HTTP/2 goes on with HTTP/1.1 when its offer is ignored (RFC 9110, 7.8), as Java's does with
    every first request; the parser does not ignore it, and drops the body."""
    head, end, body = data.partition(b"\r\n\r\n")
    return _H2C.sub(b"", head + b"\r\n") + b"\r\n" + body if end else data


def _head_too_large() -> ApiError:
    bounds = f"{HEADERS_MAX} header fields or {HEAD_BYTES_MAX} bytes"
    return ApiError(431, f"the head of the request is over {bounds}", code="head_too_large")

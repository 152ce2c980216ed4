"""Extends uvicorn's HTTP protocol: disconnect callbacks, deliberate TCP resets, the common error body, and bounds on a
request's head and on the idle time of a connection."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from harness.base.clock import Clock
from model_server.errors import CLOSE, ApiError, Header
from model_server.http.bounds import FaceSettings
from model_server.http.exchange import CONNECTION, Receive, SendMessage
from model_server.http.framing import coding_problem, host_problem, not_http, offer_problem

_LINGER_ZERO = struct.pack("ii", 1, 0)
READ_MAX = 16 << 10
"""Bytes that the parser gets per call. The count of a head's bytes is late by at most this number."""
_TRAILER = "the fields after the body are over the bound of a head"


class Turn:
    """The begin of the loop's current iteration: the arrival time of every request that it reads."""

    __slots__ = ("began", "clock")

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.began = 0.0

    def end(self) -> None:
        """The loop has read all available data and continues with tasks."""
        self.began = 0.0


class FaceProtocol(HttpToolsProtocol):
    """One connection; it implements `model_server.http.exchange.Connection`.

    All requests of one loop iteration get the same arrival time, taken before the first of them is parsed: of a
    thousand requests the last one is parsed tens of milliseconds later, which is not part of its service time.
    """

    def __init__(self, turn: Turn, bounds: FaceSettings, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._turn = turn
        self._bounds = bounds
        self._fields_max = bounds.head_max_fields
        # A head of two parts may exceed such a small bound.
        self._small_bound = bounds.head_max_bytes < 2 * READ_MAX
        self.arrived = 0.0
        self.on_lost: Callable[[], None] | None = None
        self.lost = False
        self._extensions = {CONNECTION: self}
        # Bytes of an incomplete head, without the part in which it begins.
        self._head_bytes = 0
        self._trailer_bytes = 0
        self._in_head = False
        self._in_body = False
        # The head of a request that offers another protocol, without the offer.
        self._offered: bytes | None = None
        self._problem: ApiError | None = None
        # The last bytes before the connection is closed, after the answers to earlier requests.
        self._last: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        super().connection_made(transport)
        # A connection without any request is idle too.
        self._arm_keep_alive(self.timeout_keep_alive)

    def data_received(self, data: bytes) -> None:
        if self._last is not None:
            # After invalid HTTP, nothing can be parsed.
            return
        turn = self._turn
        if not turn.began:
            turn.began = turn.clock()
            self.loop.call_soon(turn.end)
        try:
            if len(data) <= READ_MAX:
                self._feed(data)
            else:
                for start in range(0, len(data), READ_MAX):
                    self._feed(data[start : start + READ_MAX])
        except HttpParserError:
            self.send_400_response("this is not valid HTTP")

    def _feed(self, data: bytes) -> None:
        """Parse a part of the stream; raises `HttpParserError`. The bounds do not depend on the split into parts."""
        in_head, cycle = self._in_head, self.cycle if self._in_body else None
        body_bytes = 0 if cycle is None else len(cycle.body)
        while True:
            try:
                self.parser.feed_data(data)
                break
            except HttpParserUpgrade as upgrade:
                # The parser stops for the other protocol. The offer is ignored (RFC 9110, 7.8): the same request is
                # parsed a second time without it.
                data, self._offered = (self._offered or b"") + data[upgrade.args[0] :], None
        if cycle is not None and self._in_body and cycle is self.cycle and not cycle.response_complete:
            self._count_trailer(len(data), len(cycle.body) > body_bytes)
        if self._in_head and in_head:
            self._head_bytes += len(data)
            # `_head_size` does not count blanks around values: twice the bound leaves room for them.
            if self._head_bytes > 2 * self._bounds.head_max_bytes or len(self.headers) > self._fields_max:
                self._problem = self._head_too_large()
                raise HttpParserError(self._problem.message)

    def _count_trailer(self, size: int, has_body: bool) -> None:
        """Bound the bytes of fields after a chunked body and of chunk extensions."""
        self._trailer_bytes = 0 if has_body else self._trailer_bytes + size
        if self._trailer_bytes > 2 * self._bounds.head_max_bytes:
            raise HttpParserError(_TRAILER)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = self._trailer_bytes = 0
        self.arrived = self._turn.began
        self.scope["extensions"] = self._extensions  # type: ignore[typeddict-item] # a dict of dicts by the spec

    def on_headers_complete(self) -> None:
        self._problem = self._head_problem()
        if self._problem is not None:
            raise ValueError(self._problem.message)  # the parser stops
        if self.parser.should_upgrade():
            self._offered = self._head_without_offer()
            return
        super().on_headers_complete()
        # Fields after a chunked body are dropped: they must not be taken for fields of the head.
        self.headers = []
        self._in_head, self._in_body = False, True

    def _head_problem(self) -> ApiError | None:
        """The error of the head, if any: size, host, framing, or an offer that cannot be ignored."""
        fields, version = self.headers, self.parser.get_http_version()
        if len(fields) > self._fields_max or (
            (self._head_bytes or self._small_bound) and self._head_size() > self._bounds.head_max_bytes
        ):
            return self._head_too_large()
        names = [name for name, _ in fields]
        if (problem := host_problem(names, fields, version)) is not None:
            return problem
        if b"transfer-encoding" in names and (problem := coding_problem(fields, version)) is not None:
            return problem
        if self.parser.should_upgrade():
            return offer_problem(self.parser.get_method(), fields)
        return None

    def _head_size(self) -> int:
        return len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers])

    def _head_too_large(self) -> ApiError:
        bounds = f"{self._fields_max} header fields or {self._bounds.head_max_bytes} bytes"
        return ApiError(431, f"the head of the request is over {bounds}", code="head_too_large")

    def _head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        lines += [b"%s: %s" % field for field in self.headers if field[0] != b"upgrade"]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def on_message_complete(self) -> None:
        """As uvicorn's method, without its check for an offer of another protocol: the offer was removed."""
        if self._offered is not None:
            return
        if self.headers and self._head_size() > self._bounds.head_max_bytes:
            raise ValueError(_TRAILER)
        self._in_body = False
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    @property
    def whole(self) -> bool:
        """True if the whole body has arrived; also if `cycle` is a later, pipelined request."""
        return not self.cycle.more_body

    def take_body(self, receive: Receive) -> bytes | None:
        """The whole body at once, if it has arrived and nothing is in its way, at a quarter of the cost of uvicorn's
        `receive`. None otherwise: then `receive` is needed."""
        cycle = getattr(receive, "__self__", None)
        if not isinstance(cycle, RequestResponseCycle) or cycle.more_body or cycle.waiting_for_100_continue:
            return None
        if cycle.disconnected or cycle.response_complete:
            return None
        self.flow.resume_reading()
        cycle.message_event.clear()
        body, cycle.body = bytes(cycle.body), bytearray()
        return body

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        super().connection_lost(exc)
        callback, self.on_lost = self.on_lost, None
        if callback is not None:
            callback()

    def write_whole(self, status: int, headers: list[Header], body: bytes, send: SendMessage) -> bool:
        """Write an answer in one call, at a third of the cost of uvicorn's `send` (two calls, checks of every header).
        False if this is not the plain case: then `send` is needed."""
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
        """As uvicorn's method, with one lazy keep-alive timer per connection instead of one per answer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._last is not None:
            self._say_last()
        elif self.timeout_keep_alive_task is None:
            self._arm_keep_alive(self.timeout_keep_alive)

    def _arm_keep_alive(self, delay_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(delay_s, self.timeout_keep_alive_handler)

    def _unset_keepalive_if_required(self) -> None:
        """Called by uvicorn at every read; here the timer itself checks `arrived` when it fires."""
        if self.lost:
            super()._unset_keepalive_if_required()

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it was idle for the whole timeout; else set the timer again."""
        self.timeout_keep_alive_task = None
        idle_s = self._turn.clock() - self.arrived
        busy = self.cycle is not None and not self.cycle.response_complete
        if not busy and idle_s >= self.timeout_keep_alive:
            super().timeout_keep_alive_handler()
        elif not self.transport.is_closing():
            self._arm_keep_alive(max(1.0, self.timeout_keep_alive - idle_s))

    def reset(self) -> None:
        """Close with a TCP reset instead of a regular end."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self._give_up()
        self.transport.abort()

    def cut(self) -> None:
        """Close after the written bytes; for the client, the connection ends inside the answer."""
        self._give_up()
        self.transport.close()

    def _give_up(self) -> None:
        if self.cycle is not None:
            # uvicorn then does not expect the rest of this answer.
            self.cycle.disconnected = True

    def send_400_response(self, msg: str) -> None:
        """Answer invalid HTTP or an exceeded bound with the common error body, after answers to earlier requests."""
        problem, self._problem = self._problem or not_http(msg), None
        body = problem.body()
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self._last = STATUS_LINE[problem.status] + head + body
        cycle = self.cycle
        if self._in_body and self.pipeline:
            # The request with the broken body had not begun.
            self.pipeline.popleft()
            return
        if self._in_body and cycle.response_started:
            # The request already has its answer.
            self._last = b""
        if self._in_body or cycle is None or cycle.response_complete:
            self._say_last()

    def _say_last(self) -> None:
        self._give_up()
        if self._last:
            self.transport.write(self._last)
        self.transport.close()

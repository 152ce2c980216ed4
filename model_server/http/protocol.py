"""uvicorn's HTTP protocol and what it lacks: a disconnect as a callback, RST on purpose, our error body, and bounds on
the head of a request and on how long a connection may say nothing."""

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
from model_server.http.exchange import CONNECTION, SendMessage
from model_server.http.framing import coding_problem, host_problem, not_http, offer_problem

_LINGER_ZERO = struct.pack("ii", 1, 0)
READ_MAX = 16 << 10
"""Bytes that the parser gets at once. Of a read that ends inside a head, no more than this is counted too late."""
_TRAILER = "the fields after the body are over the bound of a head"


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
    """One connection; it is its own `model_server.http.exchange.Connection`.

    Arrival is stamped for all requests of a turn at once, before the first of them is parsed: with a thousand at a
    time the last one is parsed tens of milliseconds later, which is no part of its service time.
    """

    def __init__(self, turn: Turn, bounds: FaceSettings, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._turn = turn
        self._bounds = bounds
        self._fields_max = bounds.head_max_fields
        self._small_bound = bounds.head_max_bytes < 2 * READ_MAX  # a head may be over it within two parts
        self.arrived = 0.0
        self.on_lost: Callable[[], None] | None = None
        self.lost = False
        self._extensions = {CONNECTION: self}
        self._head_bytes = 0  # of a head that is not complete, from the part after the one in which it begins
        self._trailer_bytes = 0
        self._in_head = False
        self._in_body = False
        self._offered: bytes | None = None  # the head of a request that offers another protocol, without the offer
        self._problem: ApiError | None = None
        self._last: bytes | None = None  # what ends the connection, after the answers to the requests before

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        super().connection_made(transport)
        self._arm_keep_alive(self.timeout_keep_alive)  # one that never sends a request is idle too

    def data_received(self, data: bytes) -> None:
        if self._last is not None:
            return  # nothing can be read after what was not HTTP
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
        """Parse a part of the stream; raises `HttpParserError`. What bounds it does not depend on the parts."""
        in_head, cycle = self._in_head, self.cycle if self._in_body else None
        body_bytes = 0 if cycle is None else len(cycle.body)
        while True:
            try:
                self.parser.feed_data(data)
                break
            except HttpParserUpgrade as upgrade:
                # The parser leaves what follows to the other protocol; the offer is ignored (RFC 9110, 7.8), so the
                # same request is read once more without it.
                data, self._offered = (self._offered or b"") + data[upgrade.args[0] :], None
        if cycle is not None and self._in_body and cycle is self.cycle and not cycle.response_complete:
            self._count_trailer(len(data), len(cycle.body) > body_bytes)
        if self._in_head and in_head:
            self._head_bytes += len(data)
            # Blanks around values are no part of what `_head_size` counts: twice the bound leaves room for them.
            if self._head_bytes > 2 * self._bounds.head_max_bytes or len(self.headers) > self._fields_max:
                self._problem = self._head_too_large()
                raise HttpParserError(self._problem.message)

    def _count_trailer(self, size: int, has_body: bool) -> None:
        """Fields after a chunked body, or what goes with a chunk, may not come without end."""
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
        self.headers = []  # fields after a chunked body are dropped: they must not pass for those of the head
        self._in_head, self._in_body = False, True

    def _head_problem(self) -> ApiError | None:
        """What forbids to read on, if anything: size, host, framing, an offer that cannot be ignored."""
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
        """As uvicorn's, which looks whether another protocol was offered; here none was."""
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
        elif self._last is not None:
            self._say_last()
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
        """Not HTTP, or not within bounds: the one error body, after the answers to the requests before it."""
        problem, self._problem = self._problem or not_http(msg), None
        body = problem.body()
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self._last = STATUS_LINE[problem.status] + head + body
        cycle = self.cycle
        if self._in_body and self.pipeline:
            self.pipeline.popleft()  # the request whose body is broken had not begun
            return
        if self._in_body and cycle.response_started:
            self._last = b""  # it has its answer
        if self._in_body or cycle is None or cycle.response_complete:
            self._say_last()

    def _say_last(self) -> None:
        self._give_up()
        if self._last:
            self.transport.write(self._last)
        self.transport.close()

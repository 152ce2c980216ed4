"""One connection: requests out, answers in, one exchange at a time.

Rules of this file
  1. The parser (llhttp) alone decides where an answer ends. What it cannot say, because it has no end of file, is in
     `connection_lost`: a body without a length and without chunks ends with the connection.
  2. `in_step` is True only if the last byte of an answer with a certain end was read, the whole request was sent, and
     no byte came after the answer. A connection that is not in step is never used again.
  3. Bytes that come between two exchanges close the connection. Before its first exchange they may be an answer (a full
     server refuses at once), which is read, but the connection is not used again.
  4. One clock read for each piece that the network brings: `at`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools

from harness.base.clock import Clock
from harness.client.errors import BadResponse
from harness.client.transport.answer_reader import (
    BODILESS,
    HEADERS_MAX,
    INFORMATIONAL_MAX,
    LINE_MAX,
    TOO_MANY_INFORMATIONAL,
)
from harness.client.transport.encodings import decoder
from harness.client.transport.lean.answer_headers import AnswerHeaders, text
from harness.client.transport.lean.body import EventBody, WholeBody, refused_text
from harness.client.transport.lean.lost import lost
from harness.client.transport.unread_bytes import JUST_READ_S, unread
from harness.client.types import Request, Response

QUIET_MAX = 1024 * 1024  # bytes of heads, trailers and chunk sizes without a byte of a body between them
AT_ONCE = 16_384  # bytes of a request that the kernel takes in one go
SWITCHING = 101


class Connection(asyncio.Protocol):
    """The protocol of one connection, and the answer that is being read on it."""

    __slots__ = (
        "_at",
        "_early",
        "_fd",
        "_finished",
        "_heard",
        "_idle_since",
        "_informational",
        "_large",
        "_loop",
        "_marked",
        "_now",
        "_parser",
        "_raw",
        "_request",
        "_response",
        "_resting",
        "_seen",
        "_status",
        "_transport",
        "_until_end",
        "_used",
        "_waiter",
        "body",
        "events",
        "gone",
        "in_step",
        "on_header",
        "whole",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, now: Clock) -> None:
        self._loop = loop
        self._now = now
        self._raw: dict[bytes, bytes] = {}
        self.on_header = self._raw.setdefault
        self._parser: Any = _parser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._early = b""
        self._used = False
        self._finished = True
        self._idle_since = 0.0
        self.gone = False
        self.in_step = True
        self.events: EventBody | None = None
        self.whole: WholeBody | None = None
        self.body = b""

    # What the pool and the transport call.

    def exchange(self, request: Request, response: Response, message: bytes) -> asyncio.Future[None]:
        """Send; the future is done when the answer is complete, or its stream over, or has what ended it."""
        self._request, self._response = request, response
        self._finished = self._heard = self._until_end = self._resting = False
        self._status = self._informational = self._seen = self._marked = 0
        self._large = len(message) > AT_ONCE
        self.body = b""
        waiter = self._waiter = self._loop.create_future()
        if self.gone:
            self._fail(lost(None, used=self._used, heard=False))
            return waiter
        self._transport.write(message)
        if self._early:
            data, self._early = self._early, b""
            self.data_received(data)
            self.in_step = False
        return waiter

    def rest(self) -> asyncio.Future[None]:
        """Done when a body whose stream is over has ended, too, or with the connection."""
        waiter = self._waiter = self._loop.create_future()
        self._resting = True
        if self._finished or self.gone:
            waiter.set_result(None)
        return waiter

    def end(self, now: float) -> bool:
        """The exchange is over; whether the connection may be used again."""
        self._waiter = None
        self._idle_since = now
        self._used = True
        if self.events is not None:
            self.events.release()
            self.events = None
        if self.whole is not None:
            self.whole.release()
            self.whole = None
        if not (self._finished and self.in_step) or self.gone:
            return False
        if self._request.method == "HEAD":
            self._parser = _parser(self)
        return True

    def usable(self, now: float, keepalive_s: float) -> bool:
        """Whether the next exchange may begin on this idle connection."""
        if self.gone:
            return False
        idle_s = now - self._idle_since
        if idle_s < JUST_READ_S:
            return True
        return idle_s < keepalive_s and not (self._fd >= 0 and unread(self._fd))

    def idle_left_s(self, now: float, keepalive_s: float) -> float:
        """Seconds until the idle connection has to be closed; 0 or less if it is time."""
        return self._idle_since + keepalive_s - now

    def close(self) -> None:
        """Close at once; what was not sent is not sent any more."""
        self.gone = True
        self._transport.abort()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        sock = transport.get_extra_info("socket")
        self._fd = -1 if sock is None else sock.fileno()

    def data_received(self, data: bytes) -> None:
        waiter = self._waiter
        if waiter is None:
            self._unrequested(data)
            return
        self._at = self._now()
        self._heard = True
        self._seen += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.in_step = False
        except httptools.HttpParserError as error:
            self._refuse(error)
        if self._finished or (self.events is not None and self.events.is_over and not self._resting):
            if not waiter.done():
                waiter.set_result(None)
        elif self._seen - self._marked > QUIET_MAX:
            self._fail(BadResponse(f"an answer with more than {QUIET_MAX} bytes that are not its body"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self._parser = None
        if self._waiter is None or self._waiter.done():
            return
        if self._finished or (exc is None and self._until_end):
            self._finished, self.in_step, self._at = True, False, self._now()
            self._waiter.set_result(None)
        else:
            self._fail(lost(exc, used=self._used, heard=self._heard))

    def _unrequested(self, data: bytes) -> None:
        """Bytes outside an exchange."""
        if self._used or len(self._early) + len(data) > LINE_MAX:
            self.in_step = False
            self.close()
        else:
            self._early += data

    # What the parser calls.

    def on_message_begin(self) -> None:
        """An answer begins. If it is not the first one, bytes came after the answer."""
        if self._finished:
            self.in_step = False

    def on_headers_complete(self) -> None:
        """A head is there."""
        if self._finished:
            return
        if len(self._raw) > HEADERS_MAX:
            raise BadResponse(f"an answer with more than {HEADERS_MAX} headers")
        raw = {name.lower(): value for name, value in self._raw.items()}
        self._raw.clear()
        status: int = self._parser.get_status_code()
        if status < 200 and status != SWITCHING:
            self._informational += 1
            if self._informational > INFORMATIONAL_MAX:
                raise BadResponse(TOO_MANY_INFORMATIONAL)
            return
        if self._seen > LINE_MAX and any(len(name) + len(value) > LINE_MAX for name, value in raw.items()):
            raise BadResponse(f"an answer with a header of more than {LINE_MAX} bytes")
        self._head(status, raw)

    def on_body(self, piece: bytes) -> None:
        """Bytes of a body."""
        if self._finished or self._status == SWITCHING:
            self.in_step = False
            return
        self._marked = self._seen
        if self.events is not None:
            self.events.add(piece, self._at)
        elif self.whole is None and not self.body:
            self.body = piece
        else:
            self._collect(piece)

    def on_message_complete(self) -> None:
        """An answer is complete; the informational ones are not the answer."""
        if self._raw:
            self._raw.clear()
        if self._finished or not self._status:
            return
        keep: bool = self._parser.should_keep_alive()
        if not keep:
            self._check_version()
        self._finish(keep)

    # Parts of these.

    def _head(self, status: int, raw: dict[bytes, bytes]) -> None:
        """The head of the answer."""
        request, response = self._request, self._response
        self._status = response.status = status
        response.first_byte = self._at
        response.headers = AnswerHeaders(raw)
        if (timing := raw.get(b"server-timing")) is not None:
            response.server_timing = text(timing)
        if status in BODILESS or status == SWITCHING:
            self._finish(keep=False)
            return
        if request.method == "HEAD":
            # The parser would wait for a body.
            self._finish(self._parser.should_keep_alive())
            return
        if b"content-length" not in raw:
            self._check_framing(raw)
        streamed = False
        if status in request.answered:
            streamed = request.stream
            if not streamed and request.progress is not None:
                request.progress.first_byte = self._at
        if streamed or b"content-encoding" in raw:
            self._open_body(raw.get(b"content-encoding"), streamed)

    def _check_framing(self, raw: dict[bytes, bytes]) -> None:
        codings = raw.get(b"transfer-encoding")
        if codings is None:
            self._until_end = True
        elif codings.strip().lower() != b"chunked":
            raise BadResponse(f"Transfer-Encoding {text(codings)[:40]!r} is not supported")
        self._check_version()

    def _check_version(self) -> None:
        """Raise BadResponse for a version with other rules; the parser accepts 0.9 and 2.0."""
        if not self._parser.get_http_version().startswith("1."):
            raise BadResponse(f"an answer of HTTP/{self._parser.get_http_version()}")

    def _open_body(self, coding: bytes | None, streamed: bool) -> None:
        """A body that is more than plain bytes."""
        try:
            decode = decoder(None if coding is None else text(coding))
        except BadResponse as error:
            if self._is_answer:
                raise
            self._give_up_refusal(error)
            return
        if streamed:
            self.events = EventBody(self._request, decode)
        elif decode is not None:
            self.whole = WholeBody(decode)

    def _collect(self, piece: bytes) -> None:
        """A further piece of a body."""
        try:
            if self.whole is None:
                self.whole = WholeBody(None)
                self.whole.add(self.body)
            self.whole.add(piece)
        except BadResponse as error:
            if self._is_answer:
                raise
            self._give_up_refusal(error)

    def _give_up_refusal(self, error: BadResponse) -> None:
        self.whole = None
        self.body = refused_text(error)
        self._finish(keep=False)

    @property
    def _is_answer(self) -> bool:
        return self._status in self._request.answered

    def _finish(self, keep: bool) -> None:
        """The answer is complete."""
        self._finished = True
        if not keep or (self._large and self._transport.get_write_buffer_size()):
            self.in_step = False

    def _refuse(self, error: Exception) -> None:
        """The parser stopped: bytes that are not HTTP, or an error of a callback."""
        self.in_step = False
        if self._finished:
            return
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
        if isinstance(cause, Exception):
            self._fail(cause)
        else:
            self._fail(BadResponse(f"the answer is not valid HTTP: {error}"))

    def _fail(self, error: Exception) -> None:
        """End the exchange with this error."""
        self.in_step = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)


def _parser(connection: Connection) -> Any:
    """A parser of answers. Lines may end with LF alone, as the other transports allow for."""
    parser = httptools.HttpResponseParser(connection)
    parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)
    return parser

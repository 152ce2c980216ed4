"""One connection: requests out, answers in, one exchange at a time.

Rules of this file
  1. The parser (llhttp) alone decides where an answer ends. What it cannot say, because it has no end of file, is in
     `connection_lost`: a body without a length and without chunks ends with the connection.
  2. `in_step` is True only if the last byte of an answer with a certain end was read, the whole request was sent, and
     no byte came after the answer. A connection that is not in step is never used again.
  3. Bytes that come between two exchanges close the connection. Before its first exchange they may be an answer (a full
     server refuses at once), which is read, but the connection is not used again.
  4. One clock read for each piece that the network brings: `_at`, below 0 before the first.
  5. This is the hot path: no object for each request but the future, and few calls.
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
from harness.client.transport.lean.answer_headers import AnswerHeaders, head_of
from harness.client.transport.lean.body import EventBody, WholeBody, refused_text
from harness.client.transport.lean.lost import ExpiredError, lost
from harness.client.transport.unread_bytes import unread
from harness.client.types import Request, Response

QUIET_MAX = 1024 * 1024  # bytes of heads, trailers and chunk sizes without a byte of a body between them
AT_ONCE = 16_384  # bytes of a request that the kernel takes in one go
HEAD_MIN = 12  # bytes of the shortest head; blank lines may come before it
SWITCHING = 101
MISSING_CR = "Missing expected CR"


class Connection(asyncio.Protocol):
    """The protocol of one connection, and the answer that is being read on it."""

    __slots__ = (
        "_at",
        "_begun",
        "_early",
        "_fd",
        "_finished",
        "_informational",
        "_lenient",
        "_loop",
        "_now",
        "_parser",
        "_quiet",
        "_request",
        "_response",
        "_resting",
        "_size",
        "_status",
        "_transport",
        "_used",
        "_waiter",
        "body",
        "events",
        "gone",
        "idle_since",
        "in_step",
        "is_plain",
        "whole",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, now: Clock) -> None:
        self._loop = loop
        self._now = now
        self._lenient = False
        self._parser: Any = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        # Bytes of a head that is not complete, or that came before the first exchange.
        self._begun = self._early = b""
        self._used = self._resting = False
        self._finished = self.is_plain = True
        self._informational = self._status = 0
        self.idle_since = 0.0
        self.gone = False
        self.in_step = True
        self.events: EventBody | None = None
        self.whole: WholeBody | None = None
        self.body = b""

    # What the pool and the transport call.

    def exchange(self, request: Request, response: Response, message: bytes) -> asyncio.Future[None]:
        """Send; the future is done when the answer is complete, or its stream over, or has what ended it."""
        self._request = request
        self._response = response
        self._finished = False
        self._status = self._quiet = 0
        self._at = -1.0
        self._size = len(message)
        self.body = b""
        self.is_plain = True
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

    @property
    def is_unfinished(self) -> bool:
        """Whether the stream of an answer is over, but not its body."""
        return not self._finished and self.events is not None and not self.events.is_stopped

    def expire(self) -> None:
        """The exchange took too long."""
        self._fail(ExpiredError())

    def expire_unheard(self, timeout_s: float) -> None:
        """The time for the first byte is over."""
        if self._at < 0:
            self._fail(ExpiredError(f"no first byte of the answer within {timeout_s:g} s"))

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
        self.idle_since = now
        self._used = True
        if not self.is_plain:
            self._release()
        if self.gone or not (self._finished and self.in_step):
            return False
        if self._request.method == "HEAD":
            self._new_parser()
        return True

    def _release(self) -> None:
        self._resting = False
        if self.events is not None:
            self.events.stamp(self._response)
            self.events.release()
            self.events = None
        if self.whole is not None:
            self.whole.release()
            self.whole = None

    def usable(self, now: float, keepalive_s: float) -> bool:
        """Whether the next exchange may begin on this connection, which is idle for a while."""
        return now - self.idle_since < keepalive_s and not (self._fd >= 0 and unread(self._fd))

    def idle_left_s(self, now: float, keepalive_s: float) -> float:
        """Seconds until the idle connection has to be closed; 0 or less if it is time."""
        return self.idle_since + keepalive_s - now

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
        if not self._status:
            self._begun = self._begun + data if self._begun else data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.in_step = False
        except httptools.HttpParserError as error:
            self._refuse(error)
        if self._finished or self._stream_is_over:
            if not waiter.done():
                waiter.set_result(None)
        elif not waiter.done():
            self._quiet += len(data)
            if self._quiet > QUIET_MAX:
                self._fail(BadResponse(f"an answer with more than {QUIET_MAX} bytes that are not its body"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self._parser = None
        if self._waiter is None or self._waiter.done():
            return
        if self._finished or (exc is None and self._ends_with_connection):
            self._finished, self.in_step = True, False
            self._waiter.set_result(None)
        else:
            self._fail(lost(exc, used=self._used, heard=self._at >= 0))

    # What the parser calls.

    def on_message_begin(self) -> None:
        """An answer begins. If it is not the first one, bytes came after the answer."""
        if self._finished:
            self.in_step = False

    def on_headers_complete(self) -> None:
        """A head is there."""
        if self._finished:
            return
        status: int = self._parser.get_status_code()
        if status < 200 and status != SWITCHING:
            self._informational += 1
            if self._informational > INFORMATIONAL_MAX:
                raise BadResponse(TOO_MANY_INFORMATIONAL)
            return
        data, self._begun = self._begun, b""
        end = data.find(b"\r\n\r\n")
        if self._lenient or self._informational or end < HEAD_MIN:
            head, self._informational = head_of(data, self._informational), 0
        else:
            head = data[:end]
        request, response = self._request, self._response
        self._status = response.status = status
        response.first_byte = self._at
        response.headers = headers = AnswerHeaders(head)
        lower = head.lower()
        # `in` costs twice as much: it tries a number first.
        if lower.find(b"\nserver-timing:") >= 0:
            response.server_timing = headers["server-timing"]
        if request.progress is not None and not request.stream and status in request.answered:
            request.progress.first_byte = self._at
        if len(head) > HEADERS_MAX:
            _check_size(head)
        if status in BODILESS or status == SWITCHING:
            self._finish(False)
        elif request.method == "HEAD":
            # The parser would wait for a body.
            self._finish(self._parser.should_keep_alive())
        elif request.stream or lower.find(b"-encoding:") >= 0:
            self._open_body(headers)

    def on_body(self, piece: bytes) -> None:
        """Bytes of a body."""
        if self._finished:
            self.in_step = False
            return
        self._quiet = 0
        if self.is_plain and not self.body:
            self.body = piece
        elif self.events is not None:
            self.events.add(piece, self._at)
        else:
            self._collect(piece)

    def on_message_complete(self) -> None:
        """An answer is complete; the informational ones are not the answer."""
        if self._finished or not self._status:
            return
        keep = self._parser.should_keep_alive()
        if not keep:
            self._check_version()
        self._finish(keep)

    # Parts of these.

    @property
    def _stream_is_over(self) -> bool:
        return self.events is not None and self.events.is_over and not self._resting

    @property
    def _ends_with_connection(self) -> bool:
        """Whether the end of the connection is the end of the answer, whose head is there."""
        headers = self._response.headers
        return (
            bool(self._status)
            and headers is not None
            and "content-length" not in headers
            and ("transfer-encoding" not in headers)
        )

    def _unrequested(self, data: bytes) -> None:
        """Bytes outside an exchange."""
        if self._used or len(self._early) + len(data) > LINE_MAX:
            self.in_step = False
            self.close()
        else:
            self._early += data

    def _check_version(self) -> None:
        """Raise BadResponse for a version with other rules; the parser accepts 0.9 and 2.0."""
        if not self._parser.get_http_version().startswith("1."):
            raise BadResponse(f"an answer of HTTP/{self._parser.get_http_version()}")

    def _open_body(self, headers: AnswerHeaders) -> None:
        """A body that is streamed or encoded."""
        framing = headers.get("transfer-encoding", "chunked")
        if framing.lower() != "chunked":
            raise BadResponse(f"Transfer-Encoding {framing[:40]!r} is not supported")
        try:
            decode = decoder(headers.get("content-encoding"))
        except BadResponse as error:
            if self._is_answer:
                raise
            self._give_up_refusal(error)
            return
        if self._request.stream and self._is_answer:
            self.is_plain = False
            self.events = EventBody(self._request, decode)
        elif decode is not None:
            self.is_plain = False
            self.whole = WholeBody(decode)

    def _collect(self, piece: bytes) -> None:
        """A further piece of a body."""
        try:
            if self.whole is None:
                self.is_plain = False
                self.whole = WholeBody(None)
                self.whole.add(self.body)
            self.whole.add(piece)
        except BadResponse as error:
            if self._is_answer:
                raise
            self._give_up_refusal(error)

    def _give_up_refusal(self, error: BadResponse) -> None:
        """The body of a refusal cannot be read: its status counts all the same."""
        if self.whole is not None:
            self.whole.release()
            self.whole = None
        self.body = refused_text(error)
        self._finish(False)

    @property
    def _is_answer(self) -> bool:
        return self._status in self._request.answered

    def _finish(self, keep: bool) -> None:
        """The answer is complete."""
        self._finished = True
        if not keep or (self._size > AT_ONCE and self._transport.get_write_buffer_size()):
            self.in_step = False

    def _refuse(self, error: Exception) -> None:
        """The parser stopped: bytes that are not HTTP, or an error of a callback."""
        if not (self._status or self._lenient) and MISSING_CR in str(error):
            self._read_leniently()
            return
        self.in_step = False
        if self._finished:
            return
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
        if isinstance(cause, Exception):
            self._fail(cause)
        else:
            self._fail(BadResponse(f"the answer is not valid HTTP: {error}"))

    def _read_leniently(self) -> None:
        """The lines of this server end with LF alone, which the other transports allow for: read its head again."""
        self._lenient = True
        self._informational = 0
        data, self._begun = self._begun, b""
        self._new_parser()
        self.data_received(data)

    def _new_parser(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        if self._lenient:
            self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)

    def _fail(self, error: Exception) -> None:
        """End the exchange with this error."""
        self.in_step = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)


def _check_size(head: bytes) -> None:
    """Raise BadResponse for a head with too many or too long headers."""
    if head.count(b"\n") > HEADERS_MAX:
        raise BadResponse(f"an answer with more than {HEADERS_MAX} headers")
    if len(head) > LINE_MAX and max(map(len, head.split(b"\n"))) > LINE_MAX:
        raise BadResponse(f"an answer with a header of more than {LINE_MAX} bytes")

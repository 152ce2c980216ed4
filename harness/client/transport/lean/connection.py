"""One connection: requests out, answers in, one exchange at a time.

Rules of this file
  1. A connection is used again only if it is in step: the last byte of an answer with a certain end was read, the whole
     request was sent, and no byte came after the answer.
  2. Bytes that come between two exchanges close the connection. Before its first exchange they may be an answer (a full
     server refuses at once), which is read, but the connection is not used again.
  3. One clock read for each piece that the network brings.
  4. This is the hot path: no object for each request but the future.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools

from harness.base.clock import Clock
from harness.client.errors import BadResponse
from harness.client.transport.answer_reader import LINE_MAX
from harness.client.transport.lean.answer import Answer
from harness.client.transport.lean.lost import ExpiredError, lost
from harness.client.transport.time_bounds import no_answer
from harness.client.transport.unread_bytes import readable, unread
from harness.client.types import Request, Response

QUIET_MAX = 256 * 1024  # bytes of heads, trailers and chunk sizes without a byte of a body between them
AT_ONCE = 16_384  # bytes of a request that the kernel takes in one go


class Connection(Answer, asyncio.Protocol):
    """The protocol of one connection."""

    __slots__ = (
        "_cause",
        "_early",
        "_fd",
        "_loop",
        "_now",
        "_size",
        "_transport",
        "_used",
        "_waiter",
        "gone",
        "idle_since",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, now: Clock) -> None:
        super().__init__()
        self._loop = loop
        self._now = now
        self._new_parser()
        self._waiter: asyncio.Future[None] | None = None
        # Bytes that came before the first exchange.
        self._early = b""
        # What ended the connection after them.
        self._cause: Exception | None = None
        # For an exchange before this one.
        self._used = False
        # Bytes of the request.
        self._size = 0
        self.idle_since = 0.0
        self.gone = False

    # Called by the pool and the transport.

    def exchange(self, request: Request, response: Response, message: bytes) -> asyncio.Future[None]:
        """Send; the future is done when the answer is complete, or its stream over, or has what ended it."""
        self._request = request
        self._response = response
        self._finished = False
        self._status = self._quiet = 0
        self._at = -1.0
        self.is_plain = True
        self._size = len(message)
        waiter = self._waiter = self._loop.create_future()
        if self._early:
            self._replay(message)
        elif self.gone:
            self._fail(lost(None, used=self._used, heard=False))
        else:
            self._transport.write(message)
        return waiter

    def expire(self) -> None:
        """The exchange took too long."""
        self._fail(ExpiredError())

    def expire_unheard(self, timeout_s: float) -> None:
        """The time until the answer begins is over."""
        if not self._status:
            self._fail(ExpiredError(str(no_answer(timeout_s))))

    def rest(self) -> asyncio.Future[None]:
        """Done when a body whose stream is over has ended, too, or with the connection."""
        waiter = self._waiter = self._loop.create_future()
        self._resting = True
        if self._finished or self.gone:
            waiter.set_result(None)
        return waiter

    def end(self, now: float) -> bool:
        """The exchange is over, NaN if it was cancelled; whether the connection may be used again."""
        self._waiter = None
        self.idle_since = now
        self._used = True
        if not self.is_plain:
            self._release()
        request = self._request
        # An idle connection keeps no answer alive.
        self._request = self._response = None
        self.body = b""
        # False for NaN.
        if self.gone or not now >= 0.0 or not (self._finished and self.in_step):
            return False
        if self._size > AT_ONCE and self._transport.get_write_buffer_size():
            # The rest of the request would be read as the next one.
            return False
        if request is not None and request.method == "HEAD":
            self._new_parser()
        return True

    def usable(self, now: float, keepalive_s: float) -> bool:
        """Whether the next exchange may begin on this connection, which is idle for a while."""
        return now - self.idle_since < keepalive_s and not (self._fd >= 0 and unread(self._fd))

    def is_open(self) -> bool:
        """Whether the connection is in step and the server has not closed it, as far as the kernel knows."""
        return not (self.gone or self._transport.is_closing() or (self._fd >= 0 and readable(self._fd)))

    def idle_left_s(self, now: float, keepalive_s: float) -> float:
        """Seconds until the idle connection has to be closed; 0 or less if it is time."""
        return self.idle_since + keepalive_s - now

    def close(self) -> None:
        """Close at once; what was not sent is not sent any more."""
        self.gone = True
        self._transport.abort()

    # Called by the loop.

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
        if self._pieces:
            self._take_pieces()
        if self._finished or self._stream_is_over:
            if not waiter.done():
                waiter.set_result(None)
        elif not waiter.done():
            self._quiet += len(data)
            if self._quiet > QUIET_MAX:
                self._fail(BadResponse(f"an answer with more than {QUIET_MAX} bytes that are not its body"))

    def _take_pieces(self) -> None:
        """Split what came of a stream."""
        try:
            self._split()
        # A form of a user's own may raise anything.
        except Exception as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        if self._early:
            # They may be an answer, which the first exchange reads.
            self._cause = exc
        else:
            self._ended(exc)

    def _ended(self, exc: Exception | None) -> None:
        """No byte comes any more."""
        self._parser = None
        if self._waiter is None or self._waiter.done():
            return
        if self._finished or (exc is None and self._ends_with_connection):
            self._finished, self.in_step = True, False
            self._waiter.set_result(None)
        else:
            self._fail(lost(exc, used=self._used, heard=self._at >= 0))

    def _replay(self, message: bytes) -> None:
        """The first exchange: the bytes that came before it may be its answer."""
        if not self.gone:
            self._transport.write(message)
        data, self._early = self._early, b""
        self.data_received(data)
        self.in_step = False
        if self.gone:
            self._ended(self._cause)

    def _unrequested(self, data: bytes) -> None:
        """Bytes outside an exchange."""
        if self._used or len(self._early) + len(data) > LINE_MAX:
            self.in_step = False
            self.close()
        else:
            self._early += data

    def _refuse(self, error: Exception) -> None:
        """The parser stopped: bytes that are not HTTP, or an error of a callback."""
        if not (self._status or self._lenient) and _ends_with_lf(self._begun):
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
        # Some servers fill the size of a chunk with blanks; they are no part of the framing.
        self._parser.set_dangerous_leniencies(
            lenient_spaces_after_chunk_size=True, lenient_optional_cr_before_lf=self._lenient
        )

    def _fail(self, error: Exception) -> None:
        """End the exchange with this error."""
        self.in_step = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)


def _ends_with_lf(data: bytes) -> bool:
    """Whether the first line that is not blank ends with LF alone."""
    data = data.lstrip(b"\r\n")
    end = data.find(b"\n")
    return end > 0 and data[end - 1 : end] != b"\r"

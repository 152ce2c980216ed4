"""Counts requests, and keeps their rows in memory until they are written frame by frame: all that a request passes.

Rules of this file
  1. Rows are packed into a preallocated buffer, and no object of a request is kept in memory. Each flush writes one
     frame with its checksum.
  2. One row per item. The HTTP exchanges of a request with several items are counted at its first item (the others have
     `attempts` 0), so the sum over rows is the number of exchanges.
  3. Attempts and tokens are written first, so that every request in the file has its attempts and tokens.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from harness.base.clock import Clock, clock
from harness.client.cancellation import partial_of
from harness.client.transport.open_files import TOO_MANY, advice
from harness.client.types import Answers, Attempt, Item, Outcome, Request, Response, Send
from harness.measure.record.rows_file import (
    ATTEMPT_ROW,
    FLAG_CACHED,
    FLAG_SKIPPED,
    FLAG_STOPPED,
    REQUEST_DTYPE,
    REQUEST_ROW,
)
from harness.measure.record.rows_writer import RowsWriter
from harness.measure.record.token_rows import TokenRows
from harness.measure.record.token_tally import TokenTally
from harness.measure.reduce.failures import keep_sample
from harness.measure.result import FailureSample

# Quicker than the attribute of the enumeration.
_OK = Outcome.ok
_TOO_MANY_FILES = re.compile("|".join(re.escape(os.strerror(number)) for number in sorted(TOO_MANY)))
"""The system's error messages, found anywhere in the transport's message."""

BUFFERED_ROWS = 2048
"""Maximum number of rows between two flushes. A full buffer is written immediately."""
_ROW_BYTES = REQUEST_ROW.size
_BUFFER_BYTES = (1 + BUFFERED_ROWS) * _ROW_BYTES  # the head of the frame and the rows
# Maximum bytes of attempts between two flushes.
_ATTEMPTS_MAX = 64 * 1024
_NEVER = math.nan
_PACKED_ROW = struct.Struct("<Q7d2B3HIi")
_PACKED_DTYPE = np.dtype([("index", "<u8"), ("instants", "<f8", 7), ("rest", "V16")])
"""A row until its flush: as a request's row, with instants in seconds of the clock."""
_pack = _PACKED_ROW.pack_into

assert _PACKED_ROW.size == REQUEST_ROW.size == _PACKED_DTYPE.itemsize  # noqa: S101 - one row in three descriptions

OnRows = Callable[["np.ndarray[Any, np.dtype[Any]]"], None]
"""Receives a copy of every batch of request rows, even if it could not be written."""


def was_stopped(request: Request, response: Response) -> bool:
    """Whether the client ended the stream on purpose, where the load says so."""
    after = request.stop_after
    return after is not None and response.outcome is Outcome.cancelled and len(response.chunks) == after


class RequestRecorder:
    """Counts requests and writes their rows. Counters may be read from any thread.

    `t0` is the load's zero on the running loop's clock, which has no negative instants.
    """

    def __init__(
        self, requests: RowsWriter, attempts: RowsWriter, tokens: TokenRows, t0: float, on_rows: OnRows | None
    ) -> None:
        self.done = 0  # items whose request ended, with any outcome
        self.by_outcome = [0] * len(Outcome)
        self.stopped = 0  # streams that were ended on purpose
        self.started = 0  # items whose request was started
        self.lost_rows = 0  # rows that could not be written
        self.cancelled_as = Outcome.cancelled  # `unfinished` once the drain at the end is over
        self.oddities = 0  # deviations in answers that were still valid
        self.failure_samples: dict[str, FailureSample] = {}  # outcome -> its first failure with a text
        self.tally: TokenTally | None = None  # of made-up prompts whose lengths are in tokens
        self._bug: str | None = None
        # Requests that failed because this process had too many open files, and the most in flight at that time.
        self._without_file = 0
        self._flight_then = 0
        self._requests = requests
        self._attempts = attempts
        self._tokens = tokens
        self._flushed = 0  # rows packed before the last flush
        self._t0 = t0
        self._now: Clock | None = None
        self._on_rows = on_rows
        self._buffer = bytearray(_BUFFER_BYTES)
        self._position = _ROW_BYTES
        # Attempts since the last flush, after the head of their frame.
        self._followed = bytearray(ATTEMPT_ROW.size)

    @property
    def ok(self) -> int:
        """Items answered."""
        return self.by_outcome[Outcome.ok]

    @property
    def in_flight(self) -> int:
        """Items whose request was started and has not ended."""
        return self.started - self.done

    @property
    def recorded(self) -> int:
        """Rows that were written or are still buffered."""
        return self.done - self.lost_rows

    def _too_many_files(self) -> str | None:
        failed = self._without_file
        if not failed:
            return None
        return f"{failed} requests found no free file descriptor with {self._flight_then} in flight: {advice()}"

    def layer(self, send: Send, user: int = 0) -> Send:
        """The outermost layer of client application `user`: records a row per item when a request ends.

        The times of a cancelled request are known only if its CancelledError carries its partial `Response`
        (`harness.client.cancellation`). Otherwise the request counts as never sent.
        """

        async def recorded(request: Request, /) -> Response:
            self.started += len(request.items)
            try:
                response = await send(request)
            except asyncio.CancelledError as cancelled:
                self._cut(request, partial_of(cancelled), user)
                raise
            except BaseException as error:
                self._bug = self._bug or f"a layer raised {type(error).__name__}: {error}"
                self._append(request, Response(Outcome.unfinished, done=self._clock()), user)
                raise
            self._append(request, response, user)
            return response

        return recorded

    def skip(self, item: Item, why: str, user: int = 0) -> None:
        """Record an item that is never sent because another one failed."""
        if self._position == _BUFFER_BYTES:
            self._flush_rows()
        _pack(self._buffer, self._position, item.index, item.due, item.due, _NEVER, _NEVER, _NEVER, _NEVER, item.due,
              Outcome.not_sent, FLAG_SKIPPED, 0, 0, user, 0, item.priority)  # fmt: skip
        self._position += _ROW_BYTES
        self.started += 1
        self.done += 1
        self.by_outcome[Outcome.not_sent] += 1
        keep_sample(self.failure_samples, Response(Outcome.not_sent, error=why))

    def _clock(self) -> float:
        self._now = self._now or clock()
        return self._now()

    def _cut(self, request: Request, partial: Response | None, user: int) -> None:
        response = partial or Response(self.cancelled_as)
        response.outcome = self.cancelled_as
        response.done = self._clock()
        self._append(request, response, user)

    def _append(self, request: Request, response: Response, user: int) -> None:
        """Write the rows of a request that ended, and count its items."""
        self._pack_rows(request, response, user)
        count, outcome = len(request.items), response.outcome
        if outcome is not _OK:
            if was_stopped(request, response):
                self.stopped += count
            else:
                self._failed(response, count)
        self.done += count
        self.by_outcome[outcome] += count
        if self.tally is not None:
            self.tally.add(request, response)
        if type(response.answers) is Answers:
            self.oddities += response.oddities

    def _failed(self, response: Response, count: int) -> None:
        """Keep the first text of each outcome, and count requests that failed for lack of a file descriptor."""
        keep_sample(self.failure_samples, response)
        if response.outcome is Outcome.connection_error and _TOO_MANY_FILES.search(response.error or ""):
            self._without_file += count
            self._flight_then = max(self._flight_then, self.in_flight)

    def _pack_rows(self, request: Request, response: Response, user: int) -> None:
        """Pack a row per item. `x >= 0.0` is false for NaN, and cheaper than a call."""
        previous, chunks, cached = response.previous, response.chunks, response.cached_items
        first_sent = sent = response.sent
        first_byte, done = response.first_byte, response.done
        if not done >= 0.0:
            done = self._clock()
        attempts = len(previous) + (sent >= 0.0)
        if previous:
            first_sent, sent, first_byte = self._with_previous(request, previous, sent, first_byte)
        if chunks or type(response.answers) is Answers:
            self._tokens.add(request, response, self._flushed + self._position // _ROW_BYTES - 1)
        flags = FLAG_CACHED if response.from_cache else 0
        if request.stop_after is not None and was_stopped(request, response):
            flags = FLAG_STOPPED
        for item in request.items:
            position = self._position
            if position == _BUFFER_BYTES:
                self._flush_rows()
                position = _ROW_BYTES
            _pack(self._buffer, position, item.index, item.due, item.fired, first_sent, sent, first_byte,
                  chunks[-1] if chunks else _NEVER, done, response.outcome,
                  FLAG_CACHED if cached and item.index in cached else flags,
                  response.status, attempts, user, len(chunks), item.priority)  # fmt: skip
            self._position = position + _ROW_BYTES
            attempts = 0

    def _with_previous(
        self, request: Request, previous: Sequence[Attempt], sent: float, first_byte: float
    ) -> tuple[float, float, float]:
        """Pack the earlier attempts; first and last instant of sending, and first byte, of all attempts."""
        of_item = [attempt for attempt in previous if not attempt.own]
        last = of_item[-1] if of_item and not sent >= 0.0 else None
        if last is not None:
            # The request was abandoned before its next attempt started, so the previous attempt is its last.
            sent, first_byte = last.sent, last.first_byte
        self._add_attempts(request.items[0].index, [other for other in previous if other is not last])
        # In this order NaN, for an attempt that was never sent, comes first, as -1 does.
        first = of_item[0].sent if of_item else sent
        return sent if sent < first else first, sent, first_byte

    def _add_attempts(self, index: int, followed: Sequence[Attempt]) -> None:
        for number, attempt in enumerate(followed):
            instants = self._ns(attempt.sent), self._ns(attempt.first_byte), self._ns(attempt.done)
            self._followed += ATTEMPT_ROW.pack(index, *instants, number, attempt.status, attempt.outcome, attempt.own)
        if len(self._followed) > _ATTEMPTS_MAX:
            self._flush_attempts()

    def _ns(self, instant_s: float) -> int:
        return -1 if math.isnan(instant_s) else round((instant_s - self._t0) * 1e9)

    def _flush_rows(self) -> None:
        self._flush_attempts()
        self._tokens.flush()
        end, self._position = self._position, _ROW_BYTES
        if end == _ROW_BYTES:
            return
        self._convert(end)
        self._flushed += end // _ROW_BYTES - 1
        self.lost_rows += end // _ROW_BYTES - 1 - self._requests.append(self._buffer, end)
        if self._on_rows is not None:
            self._on_rows(np.frombuffer(bytes(self._buffer[_ROW_BYTES:end]), dtype=REQUEST_DTYPE))

    def _convert(self, end: int) -> None:
        """Turn the instants of the rows up to `end` from seconds of the clock into nanoseconds since the zero.

        All at once: for each row by itself this would be half of the cost of recording.
        """
        packed = np.frombuffer(self._buffer, _PACKED_DTYPE, end // _ROW_BYTES - 1, _ROW_BYTES)
        seconds = packed["instants"]
        # -1.0 where an instant is NaN; the conversion cuts towards zero.
        ns = np.where(seconds >= 0.0, (seconds - self._t0) * 1e9 + 0.5, -1.0).astype(np.int64)
        due, fired, first_sent, done = ns[:, 0], ns[:, 1], ns[:, 2], ns[:, -1]
        without = ~(seconds[:, 0] >= 0.0)
        due[without] = np.where(first_sent > 0, first_sent, done)[without]
        without = ~(seconds[:, 1] >= 0.0)
        fired[without] = due[without]
        seconds.view(np.int64)[...] = ns

    def _flush_attempts(self) -> None:
        if len(self._followed) > ATTEMPT_ROW.size:
            self._attempts.append(self._followed, len(self._followed))
            self._followed = bytearray(ATTEMPT_ROW.size)

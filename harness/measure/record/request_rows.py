"""Rows of requests and of their attempts, collected in memory and written frame by frame.

Rules of this file
  1. Rows are packed into a preallocated buffer, and no object of a request is kept in memory. Each flush writes one
     frame with its checksum.
  2. One row per item. The HTTP exchanges of a request with several items are counted at its first item (the others have
     `attempts` 0), so the sum over rows is the number of exchanges.
  3. Attempts and tokens are written first, so that every request in the file has its attempts and tokens.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from harness.client.answers import Answers
from harness.client.types import Attempt, Item, Outcome, Request, Response
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


class RequestRows:
    """The buffers of these files. `t0` is the load's zero on the clock `now`, which has no negative instants."""

    def __init__(
        self,
        requests: RowsWriter,
        attempts: RowsWriter,
        tokens: TokenRows,
        t0: float,
        now: Callable[[], float],
        on_rows: OnRows | None,
    ) -> None:
        self.lost = 0  # rows that could not be written
        self._requests = requests
        self._attempts = attempts
        self._tokens = tokens
        self._flushed = 0  # rows packed before the last flush
        self._t0 = t0
        self._now = now
        self._on_rows = on_rows
        self._buffer = bytearray(_BUFFER_BYTES)
        self._position = _ROW_BYTES
        # Attempts since the last flush, after the head of their frame.
        self._followed = bytearray(ATTEMPT_ROW.size)

    def add(self, request: Request, response: Response, user: int) -> None:
        """Pack a row per item. `x >= 0.0` is false for NaN, and cheaper than a call."""
        previous, chunks, cached = response.previous, response.chunks, response.cached_items
        first_sent = sent = response.sent
        first_byte, done = response.first_byte, response.done
        if not done >= 0.0:
            done = self._now()
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
                self.flush()
                position = _ROW_BYTES
            _pack(self._buffer, position, item.index, item.due, item.fired, first_sent, sent, first_byte,
                  chunks[-1] if chunks else _NEVER, done, response.outcome,
                  FLAG_CACHED if cached and item.index in cached else flags,
                  response.status, attempts, user, len(chunks), item.priority)  # fmt: skip
            self._position = position + _ROW_BYTES
            attempts = 0

    def skip(self, item: Item, user: int) -> None:
        """Pack the row of an item that is never sent."""
        if self._position == _BUFFER_BYTES:
            self.flush()
        _pack(self._buffer, self._position, item.index, item.due, item.due, _NEVER, _NEVER, _NEVER, _NEVER, item.due,
              Outcome.not_sent, FLAG_SKIPPED, 0, 0, user, 0, item.priority)  # fmt: skip
        self._position += _ROW_BYTES

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

    def flush(self) -> None:
        """Write the buffered rows to the files. After that, `kill -9` cannot lose them."""
        self._flush_attempts()
        self._tokens.flush()
        end, self._position = self._position, _ROW_BYTES
        if end == _ROW_BYTES:
            return
        self._convert(end)
        self._flushed += end // _ROW_BYTES - 1
        self.lost += end // _ROW_BYTES - 1 - self._requests.append(self._buffer, end)
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

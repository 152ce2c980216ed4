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
_pack = REQUEST_ROW.pack_into

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
        t0, previous, chunks, outcome = self._t0, response.previous, response.chunks, response.outcome
        sent_s, first_byte_s, done_s = response.sent, response.first_byte, response.done
        done = int(((done_s if done_s >= 0.0 else self._now()) - t0) * 1e9 + 0.5)
        first_sent = sent = int((sent_s - t0) * 1e9 + 0.5) if sent_s >= 0.0 else -1
        first_byte = int((first_byte_s - t0) * 1e9 + 0.5) if first_byte_s >= 0.0 else -1
        attempts = len(previous) + (sent_s >= 0.0)
        if previous:
            first_sent, sent, first_byte = self._with_previous(request, previous, sent, first_byte)
        last_chunk = int((chunks[-1] - t0) * 1e9 + 0.5) if chunks else -1
        if chunks or type(response.answers) is Answers:
            self._tokens.add(request, response, self._flushed + self._position // _ROW_BYTES - 1)
        flags, cached = FLAG_CACHED if response.from_cache else 0, response.cached_items
        if request.stop_after is not None and was_stopped(request, response):
            flags = FLAG_STOPPED
        for item in request.items:
            due_s, fired_s = item.due, item.fired
            due = int((due_s - t0) * 1e9 + 0.5) if due_s >= 0.0 else max(first_sent, 0) or done
            position = self._position
            if position == _BUFFER_BYTES:
                self.flush()
                position = _ROW_BYTES
            fired = int((fired_s - t0) * 1e9 + 0.5) if fired_s >= 0.0 else due
            flag = FLAG_CACHED if item.index in cached else flags
            _pack(self._buffer, position, item.index, due, fired, first_sent, sent, first_byte, last_chunk, done,
                  outcome, flag, response.status, attempts, user, len(chunks), item.priority)  # fmt: skip
            self._position = position + _ROW_BYTES
            attempts = 0

    def skip(self, item: Item, user: int) -> None:
        """Pack the row of an item that is never sent."""
        if self._position == _BUFFER_BYTES:
            self.flush()
        at = int((item.due - self._t0) * 1e9 + 0.5)
        _pack(self._buffer, self._position, item.index, at, at, -1, -1, -1, -1, at,
              Outcome.not_sent, FLAG_SKIPPED, 0, 0, user, 0, item.priority)  # fmt: skip
        self._position += _ROW_BYTES

    def _with_previous(
        self, request: Request, previous: Sequence[Attempt], sent: int, first_byte: int
    ) -> tuple[int, int, int]:
        """Pack the earlier attempts; first and last instant of sending, and first byte, of all attempts."""
        of_item = [attempt for attempt in previous if not attempt.own]
        last = of_item[-1] if of_item and sent < 0 else None
        if last is not None:
            # The request was abandoned before its next attempt started, so the previous attempt is its last.
            sent, first_byte = self._ns(last.sent), self._ns(last.first_byte)
        self._add_attempts(request.items[0].index, [other for other in previous if other is not last])
        return min(sent, self._ns(of_item[0].sent)) if of_item else sent, sent, first_byte

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
        self._flushed += end // _ROW_BYTES - 1
        self.lost += end // _ROW_BYTES - 1 - self._requests.append(self._buffer, end)
        if self._on_rows is not None:
            self._on_rows(np.frombuffer(bytes(self._buffer[_ROW_BYTES:end]), dtype=REQUEST_DTYPE))

    def _flush_attempts(self) -> None:
        if len(self._followed) > ATTEMPT_ROW.size:
            self._attempts.append(self._followed, len(self._followed))
            self._followed = bytearray(ATTEMPT_ROW.size)

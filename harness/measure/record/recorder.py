"""Writes the record files of one process while a load runs, from inside its event loop's thread.

Rules of this file
  1. Recording never interrupts the load. After a write error, rows are counted as lost and the end file reports it.
  2. Rows are packed into a preallocated buffer, and no object of a request is kept in memory. Each flush writes one
     frame with its checksum.
  3. One row per item. The HTTP exchanges of a request with several items are counted at its first item (the others have
     `attempts` 0), so the sum over rows is the number of exchanges.
  4. Counters may be read from any thread. Use everything else only in the event loop's thread.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from harness.base.clock import Clock, clock
from harness.client.figures import LayerCounts
from harness.client.transport.open_files import TOO_MANY, advice
from harness.client.types import Answers, Attempt, Outcome, Request, Response, Send
from harness.measure.record.decisions import DecisionLog
from harness.measure.record.files import RecordPaths, find, paths, slug
from harness.measure.record.interim import InterimFile
from harness.measure.record.rows_file import (
    ATTEMPT_ROW,
    FLAG_CACHED,
    REQUEST_DTYPE,
    REQUEST_ROW,
    TIMELINE_ROW,
    End,
    Header,
)
from harness.measure.record.rows_writer import RowsWriter
from harness.measure.record.sealed_json import write_sealed
from harness.measure.reduce.failures import keep_sample
from harness.measure.result import FailureSample

__all__ = ["RecordPaths", "Recorder", "find", "paths", "slug"]

BUFFERED_ROWS = 2048
"""Maximum number of rows between two flushes. A full buffer is written immediately."""
_ROW_BYTES = REQUEST_ROW.size
_BUFFER_BYTES = (1 + BUFFERED_ROWS) * _ROW_BYTES  # the head of the frame and the rows
# Maximum bytes of attempts between two flushes.
_ATTEMPTS_MAX = 64 * 1024

_TOO_MANY_FILES = re.compile("|".join(re.escape(os.strerror(number)) for number in sorted(TOO_MANY)))
"""The system's error messages, found anywhere in the transport's message."""

OnRows = Callable[["np.ndarray[Any, np.dtype[Any]]"], None]
"""Receives a copy of every batch of request rows, even if it could not be written."""


class Recorder:
    """Records one process's share of one repeat of one case.

    `t0` is the load's zero on the running loop's clock and `t0_unix_s` the same instant on the wall clock. Raises
    OSError if the files cannot be created. Later errors are kept in `error`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        case: str,
        repeat: int = 0,
        process: int = 0,
        t0: float,
        t0_unix_s: float,
        on_rows: OnRows | None = None,
    ) -> None:
        self.paths = paths(directory, case, repeat, process)
        self.done = 0  # items whose request ended, with any outcome
        self.by_outcome = [0] * len(Outcome)
        self.started = 0  # items whose request was started
        self.cancelled_as = Outcome.cancelled  # `unfinished` once the drain at the end is over
        self.lost_rows = 0
        self.oddities = 0  # deviations in answers that were still valid
        self.failure_samples: dict[str, FailureSample] = {}  # outcome -> its first failure with a text
        self._t0 = t0
        self._on_rows = on_rows
        self._now: Clock | None = None
        self._bug: str | None = None
        # Requests that failed because this process had too many open files, and the most in flight at that time.
        self._without_file = 0
        self._flight_then = 0
        self._buffer = bytearray(_BUFFER_BYTES)
        self._position = _ROW_BYTES
        self._tick = bytearray(2 * TIMELINE_ROW.size)
        # Attempts since the last flush, after the head of their frame.
        self._followed = bytearray(ATTEMPT_ROW.size)
        self._pack = REQUEST_ROW.pack_into
        self._ended = False
        self.decisions = DecisionLog(self.paths.decisions, t0)
        self._interim = InterimFile(self.paths.interim)

        def open_file(kind: str, path: Path, size: int) -> RowsWriter:
            return RowsWriter(path, Header(kind, case, repeat, process, t0_unix_s, size))

        self._requests = open_file("requests", self.paths.requests, REQUEST_ROW.size)
        self._attempts = open_file("attempts", self.paths.attempts, ATTEMPT_ROW.size)
        self._timeline = open_file("timeline", self.paths.timeline, TIMELINE_ROW.size)

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

    @property
    def error(self) -> str | None:
        """The first error of recording as text; None if there was none."""
        lost = f"; {self.lost_rows} rows are lost" if self.lost_rows else ""
        written = self._write_error
        return self._bug or self._too_many_files() if written is None else written + lost

    @property
    def _write_error(self) -> str | None:
        files = (self._requests, self._attempts, self._timeline, self.decisions)
        return next((file.error for file in files if file.error), None)

    def _too_many_files(self) -> str | None:
        failed = self._without_file
        if not failed:
            return None
        return f"{failed} requests found no free file descriptor with {self._flight_then} in flight: {advice()}"

    def layer(self, send: Send, user: int = 0) -> Send:
        """The outermost layer of client application `user`: records a row per item when a request ends.

        The times of a cancelled request are known only if the transport stores its partial `Response` in the
        attribute `response` of the CancelledError. Otherwise the request counts as never sent.
        """

        async def recorded(request: Request, /) -> Response:
            self.started += len(request.items)
            try:
                response = await send(request)
            except asyncio.CancelledError as cancelled:
                self._cut(request, getattr(cancelled, "response", None), user)
                raise
            except BaseException as error:
                self._bug = self._bug or f"a layer raised {type(error).__name__}: {error}"
                self._append(request, Response(Outcome.unfinished, done=self._clock()), user)
                raise
            self._append(request, response, user)
            return response

        return recorded

    def tick(
        self,
        *,
        t: float,
        limit: float = math.nan,
        pulled: float = 0.0,
        loop_lag: float = 0.0,
        cpu: float = 0.0,
        rss: float = 0.0,
        in_flight: float | None = None,
        done: float | None = None,
    ) -> None:
        """Append a timeline row. `t` is in seconds since t0; for the others see `rows_file.TIMELINE_DTYPE`."""
        flight = self.in_flight if in_flight is None else in_flight
        ended = self.done if done is None else done
        TIMELINE_ROW.pack_into(self._tick, TIMELINE_ROW.size, t, flight, limit, pulled, ended, loop_lag, cpu, rss)
        self._timeline.append(self._tick, len(self._tick))

    def flush(self) -> None:
        """Write the buffered rows to the files. After that, `kill -9` cannot lose them."""
        self.decisions.flush()
        # Attempts are written first, so that every request in the file has its attempts.
        self._flush_attempts()
        end, self._position = self._position, _ROW_BYTES
        if end == _ROW_BYTES:
            return
        self.lost_rows += end // _ROW_BYTES - 1 - self._requests.append(self._buffer, end)
        if self._on_rows is not None:
            self._on_rows(np.frombuffer(bytes(self._buffer[_ROW_BYTES:end]), dtype=REQUEST_DTYPE))

    def keep_interim(self, layers: Callable[[], list[LayerCounts]]) -> None:
        """Write failures and layer figures if they have changed and it is time. `kill -9` loses only later ones."""
        self._interim.update(self.failure_samples, layers)

    def _flush_attempts(self) -> None:
        if len(self._followed) > ATTEMPT_ROW.size:
            self._attempts.append(self._followed, len(self._followed))
            self._followed = bytearray(ATTEMPT_ROW.size)

    def end(self, end: End) -> End:
        """Flush, close, and write `*.end.json` with the actual numbers of rows; returns it. Never raises."""
        self.flush()
        self.decisions.close()
        error = end.error or self.error
        end = msgspec.structs.replace(
            end,
            recorded=self.recorded,
            lost_rows=self.lost_rows,
            attempt_rows=self._attempts.rows,
            tick_rows=self._timeline.rows,
            decision_rows=self.decisions.rows,
            oddities=self.oddities,
            failure_samples=self.failure_samples,
            error=error,
            write_failed=self._write_error is not None,
        )
        if not self._ended:
            self._ended = True
            try:
                write_sealed(self.paths.end, end)
                self.paths.interim.unlink(missing_ok=True)
            except OSError as failure:
                # Without this file the case counts as partial, which is correct.
                self._bug = self._bug or f"could not write {self.paths.end.name}: {failure.strerror or failure}"
            for file in (self._requests, self._attempts, self._timeline):
                file.close()
        return end

    def _clock(self) -> float:
        self._now = self._now or clock()
        return self._now()

    def _cut(self, request: Request, partial: Response | None, user: int) -> None:
        response = partial or Response(self.cancelled_as)
        response.outcome = self.cancelled_as
        response.done = self._clock()
        self._append(request, response, user)

    def _append(self, request: Request, response: Response, user: int) -> None:
        """Pack a row per item. `x >= 0.0` is false for NaN (no clock is negative), and cheaper than a call."""
        t0 = self._t0
        previous, chunks, outcome = response.previous, response.chunks, response.outcome
        sent_s, first_byte_s, done_s = response.sent, response.first_byte, response.done
        done = int((done_s - t0) * 1e9 + 0.5) if done_s >= 0.0 else int((self._clock() - t0) * 1e9 + 0.5)
        sent = int((sent_s - t0) * 1e9 + 0.5) if sent_s >= 0.0 else -1
        first_byte = int((first_byte_s - t0) * 1e9 + 0.5) if first_byte_s >= 0.0 else -1
        first_sent = sent
        attempts = len(previous) + (sent_s >= 0.0)
        if previous:
            of_item = [attempt for attempt in previous if not attempt.own]
            last = of_item[-1] if of_item and sent < 0 else None
            if last is not None:
                # The request was abandoned before its next attempt started, so the previous attempt is its last.
                sent, first_byte = self._ns(last.sent), self._ns(last.first_byte)
            first_sent = min(sent, self._ns(of_item[0].sent)) if of_item else sent
            self._append_attempts(request.items[0].index, [other for other in previous if other is not last])
        last_chunk = int((chunks[-1] - t0) * 1e9 + 0.5) if chunks else -1
        flags, cached = FLAG_CACHED if response.from_cache else 0, response.cached_items
        for item in request.items:
            due_s, fired_s = item.due, item.fired
            due = int((due_s - t0) * 1e9 + 0.5) if due_s >= 0.0 else max(first_sent, 0) or done
            if self._position == _BUFFER_BYTES:
                self.flush()
            self._pack(
                self._buffer,
                self._position,
                item.index,
                due,
                int((fired_s - t0) * 1e9 + 0.5) if fired_s >= 0.0 else due,
                first_sent,
                sent,
                first_byte,
                last_chunk,
                done,
                outcome,
                FLAG_CACHED if item.index in cached else flags,
                response.status,
                attempts,
                user,
                len(chunks),
                item.priority,
            )
            self._position += _ROW_BYTES
            attempts = 0
        count = len(request.items)
        if outcome is not Outcome.ok:
            self._failed(response, count)
        self.done += count
        self.by_outcome[outcome] += count
        if type(response.answers) is Answers:
            self.oddities += response.oddities

    def _failed(self, response: Response, count: int) -> None:
        """Keep the first text of each outcome, and count requests that failed for lack of a file descriptor."""
        keep_sample(self.failure_samples, response)
        if response.outcome is Outcome.connection_error and _TOO_MANY_FILES.search(response.error or ""):
            self._without_file += count
            self._flight_then = max(self._flight_then, self.in_flight)

    def _append_attempts(self, index: int, followed: Sequence[Attempt]) -> None:
        rows = bytearray(len(followed) * ATTEMPT_ROW.size)
        for number, attempt in enumerate(followed):
            ATTEMPT_ROW.pack_into(
                rows,
                number * ATTEMPT_ROW.size,
                index,
                self._ns(attempt.sent),
                self._ns(attempt.first_byte),
                self._ns(attempt.done),
                number,
                attempt.status,
                attempt.outcome,
                attempt.own,
            )
        self._followed += rows
        if len(self._followed) > _ATTEMPTS_MAX:
            self._flush_attempts()

    def _ns(self, instant_s: float) -> int:
        return -1 if math.isnan(instant_s) else round((instant_s - self._t0) * 1e9)

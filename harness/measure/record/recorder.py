"""Writes the record files of one process while a load runs, from inside its event loop's thread.

Rules of this file
  1. Recording never interrupts the load. After a write error, rows are counted as lost and the end file reports it.
  2. The layer counts what becomes of items; `request_rows` packs and writes their rows.
  3. Counters may be read from any thread. Use everything else only in the event loop's thread.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from harness.base.clock import Clock, clock
from harness.client.cancellation import partial_of
from harness.client.figures import LayerCounts
from harness.client.transport.open_files import TOO_MANY, advice
from harness.client.types import Answers, Item, Outcome, Request, Response, Send
from harness.measure.record.decisions import DecisionLog
from harness.measure.record.files import RecordPaths, find, paths, slug
from harness.measure.record.interim import InterimFile
from harness.measure.record.request_rows import OnRows, RequestRows, was_stopped
from harness.measure.record.rows_file import (
    ATTEMPT_ROW,
    GAP_DTYPE,
    REQUEST_ROW,
    TIMELINE_ROW,
    TOKEN_ROW,
    End,
    Header,
)
from harness.measure.record.rows_writer import LateRowsWriter, RowsWriter
from harness.measure.record.sealed_json import write_sealed
from harness.measure.record.token_rows import TokenRows
from harness.measure.record.token_tally import TokenTally
from harness.measure.reduce.failures import keep_sample
from harness.measure.result import FailureSample

__all__ = ["RecordPaths", "Recorder", "find", "paths", "slug"]

# Quicker than the attribute of the enumeration.
_OK = Outcome.ok
_TOO_MANY_FILES = re.compile("|".join(re.escape(os.strerror(number)) for number in sorted(TOO_MANY)))
"""The system's error messages, found anywhere in the transport's message."""


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
        ticks_a_frame: int = 1,
    ) -> None:
        self.paths = paths(directory, case, repeat, process)
        self.done = 0  # items whose request ended, with any outcome
        self.by_outcome = [0] * len(Outcome)
        self.stopped = 0  # streams that were ended on purpose
        self.started = 0  # items whose request was started
        self.cancelled_as = Outcome.cancelled  # `unfinished` once the drain at the end is over
        self.oddities = 0  # deviations in answers that were still valid
        self.failure_samples: dict[str, FailureSample] = {}  # outcome -> its first failure with a text
        self.tally: TokenTally | None = None  # of made-up prompts whose lengths are in tokens
        self._now: Clock | None = None
        self._bug: str | None = None
        # Requests that failed because this process had too many open files, and the most in flight at that time.
        self._without_file = 0
        self._flight_then = 0
        # Several ticks in one frame are written and read in a fraction of the time, but `kill -9` loses them.
        self._ticks = bytearray((1 + ticks_a_frame) * TIMELINE_ROW.size)
        self._ticks_end = TIMELINE_ROW.size
        self._ended = False
        self.decisions = DecisionLog(self.paths.decisions, t0)
        self._interim = InterimFile(self.paths.interim)

        def open_file(kind: str, path: Path, size: int) -> RowsWriter:
            return RowsWriter(path, Header(kind, case, repeat, process, t0_unix_s, size))

        self._requests = open_file("requests", self.paths.requests, REQUEST_ROW.size)
        self._attempts = open_file("attempts", self.paths.attempts, ATTEMPT_ROW.size)
        self._timeline = open_file("timeline", self.paths.timeline, TIMELINE_ROW.size)
        self._tokens = TokenRows(
            LateRowsWriter(self.paths.tokens, Header("tokens", case, repeat, process, t0_unix_s, TOKEN_ROW.size)),
            LateRowsWriter(self.paths.gaps, Header("gaps", case, repeat, process, t0_unix_s, GAP_DTYPE.itemsize)),
        )
        self._rows = RequestRows(self._requests, self._attempts, self._tokens, t0, self._clock, on_rows)

    @property
    def ok(self) -> int:
        """Items answered."""
        return self.by_outcome[Outcome.ok]

    @property
    def in_flight(self) -> int:
        """Items whose request was started and has not ended."""
        return self.started - self.done

    @property
    def lost_rows(self) -> int:
        """Rows that could not be written."""
        return self._rows.lost

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
        tokens = (self._tokens.tokens, self._tokens.gaps)
        files = (self._requests, self._attempts, self._timeline, self.decisions, *tokens)
        return next((file.error for file in files if file.error), None)

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
        self._rows.skip(item, user)
        self.started += 1
        self.done += 1
        self.by_outcome[Outcome.not_sent] += 1
        keep_sample(self.failure_samples, Response(Outcome.not_sent, error=why))

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
        TIMELINE_ROW.pack_into(self._ticks, self._ticks_end, t, flight, limit, pulled, ended, loop_lag, cpu, rss)
        self._ticks_end += TIMELINE_ROW.size
        if self._ticks_end == len(self._ticks):
            self._flush_ticks()

    def _flush_ticks(self) -> None:
        end, self._ticks_end = self._ticks_end, TIMELINE_ROW.size
        if end > TIMELINE_ROW.size:
            self._timeline.append(self._ticks, end)

    def flush(self) -> None:
        """Write the buffered rows to the files. After that, `kill -9` cannot lose them."""
        self._flush_ticks()
        self.decisions.flush()
        self._rows.flush()

    def keep_interim(self, layers: Callable[[], list[LayerCounts]]) -> None:
        """Write failures and layer figures if they have changed and it is time. `kill -9` loses only later ones."""
        self._interim.update(self.failure_samples, layers)

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
            token_rows=self._tokens.tokens.rows,
            gap_rows=self._tokens.gaps.rows,
            decision_rows=self.decisions.rows,
            oddities=self.oddities,
            failure_samples=self.failure_samples,
            tokens=None if self.tally is None else self.tally.sums,
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
            for file in (self._requests, self._attempts, self._timeline, self._tokens.tokens, self._tokens.gaps):
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
        """Write the rows of a request that ended, and count its items."""
        self._rows.add(request, response, user)
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

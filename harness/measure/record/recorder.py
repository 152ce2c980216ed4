"""Writes the record files of one process while a load runs, from inside its event loop's thread.

Rules of this file
  1. Recording never interrupts the load. After a write error, rows are counted as lost and the end file reports it.
  2. The part that each request passes is `RequestRecorder`; here are the files, the timeline and the end.
  3. Counters may be read from any thread. Use everything else only in the event loop's thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import msgspec

from harness.client.figures import LayerCounts
from harness.measure.record.decisions import DecisionLog
from harness.measure.record.files import paths
from harness.measure.record.interim import InterimFile
from harness.measure.record.request_recorder import OnRows, RequestRecorder
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


class Recorder(RequestRecorder):
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
        # Several ticks in one frame are written and read in a fraction of the time, but `kill -9` loses them.
        self._ticks = bytearray((1 + ticks_a_frame) * TIMELINE_ROW.size)
        self._ticks_end = TIMELINE_ROW.size
        self._ended = False
        self.decisions = DecisionLog(self.paths.decisions, t0)
        self._interim = InterimFile(self.paths.interim)

        def open_file(kind: str, path: Path, size: int) -> RowsWriter:
            return RowsWriter(path, Header(kind, case, repeat, process, t0_unix_s, size))

        requests = open_file("requests", self.paths.requests, REQUEST_ROW.size)
        attempts = open_file("attempts", self.paths.attempts, ATTEMPT_ROW.size)
        self._timeline = open_file("timeline", self.paths.timeline, TIMELINE_ROW.size)
        tokens = TokenRows(
            LateRowsWriter(self.paths.tokens, Header("tokens", case, repeat, process, t0_unix_s, TOKEN_ROW.size)),
            LateRowsWriter(self.paths.gaps, Header("gaps", case, repeat, process, t0_unix_s, GAP_DTYPE.itemsize)),
        )
        super().__init__(requests, attempts, tokens, t0, on_rows)

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
        self._flush_rows()

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

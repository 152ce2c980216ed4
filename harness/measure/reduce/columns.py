"""The rows of one repeat of a case as columns, with its processes aligned on one time axis.

All figures of a repeat are derived from these columns. Up to `column_rows.LARGE_ROWS` rows are kept as records of 80
bytes. The columns of more rows are kept in files and read when they are needed: memory is bounded by a few columns.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.client.figures import LayerCounts
from harness.client.types import Outcome
from harness.measure.record import decisions
from harness.measure.record.files import RecordPaths, read_header
from harness.measure.record.interim import Interim, read_interim
from harness.measure.record.rows_file import (
    ATTEMPT_DTYPE,
    GAP_DTYPE,
    REQUEST_DTYPE,
    TIMELINE_DTYPE,
    TOKEN_DTYPE,
    End,
    TornHeaderError,
)
from harness.measure.record.sealed_json import read_if_whole
from harness.measure.record.segments import OtherRowsError, frames_of, parts_of
from harness.measure.reduce.column_rows import ColumnRows, RowsBuilder
from harness.measure.reduce.token_columns import NO_TOKENS, TokenColumns, joined, matched, thinned
from harness.measure.result import FailureSample

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class ProcessColumns:
    """One process's part in a repeat."""

    number: int
    timeline: Array
    end: End | None  # None: it was killed
    interim: Interim = field(default_factory=Interim)  # its last interim state, if it was killed
    recorded: int = 0  # its rows
    users: tuple[int, ...] = ()  # client applications of these rows, if it was killed

    @property
    def failure_samples(self) -> dict[str, FailureSample]:
        """Outcome -> its first failure with a text."""
        return (self.interim if self.end is None else self.end).failure_samples

    @property
    def layers(self) -> list[LayerCounts]:
        """Counters of its layers; if it was killed, until shortly before."""
        return (self.interim if self.end is None else self.end).layers


@dataclass(frozen=True)
class Repeat:
    """One repeat: rows of all its processes. Instants are ns since the earliest process's zero; -1: did not happen."""

    number: int
    rows: Array
    attempts: Array
    processes: list[ProcessColumns]
    damaged: tuple[str, ...] = ()  # defects, each with its file
    tokens: TokenColumns = NO_TOKENS

    @property
    def complete(self) -> bool:
        """Whether every process has written its end file and none was stopped early."""
        ends = [process.end for process in self.processes]
        return bool(ends) and all(end is not None and end.interrupted is None for end in ends)

    @property
    def ends(self) -> list[End]:
        return [process.end for process in self.processes if process.end is not None]

    @property
    def makespan_ns(self) -> int:
        """From the load's zero to the last outcome of a request."""
        return max(int(self.rows["done"].max()), 1) if len(self.rows) else 0

    def after(self, begins_ns: int) -> Repeat:
        """The requests that were due from this instant on."""
        if begins_ns <= 0:
            return self
        return self.only(self.rows["due"] >= begins_ns)

    def only(self, mask: Array) -> Repeat:
        """The requests for which the mask is true."""
        return replace(self, rows=chosen(self.rows, mask), tokens=self.tokens.kept(mask))

    def ok(self) -> Array:
        """The rows of successes, for reading only."""
        return chosen(self.rows, self.rows["outcome"] == Outcome.ok)


def chosen(rows: Array, which: Array) -> Array:
    """The rows of a mask, for reading only: all of them are no copy."""
    if which.all() or isinstance(rows, ColumnRows):
        return rows if which.all() else rows[which]
    # NumPy copies records field by field, and plain bytes ten times as fast.
    plain: Array = rows.view(np.dtype((np.void, rows.dtype.itemsize)))[which]
    return plain.view(rows.dtype)


GAP_ROWS_MAX = 400_000
"""Rows of gaps, each with up to 14 of them, that are held of all repeats of a case: 25 MB, and three times that while
they are worked on."""
EVERY_MAX = 1 << 30


def load_repeats(recorded: Mapping[int, Sequence[RecordPaths]]) -> list[Repeat]:
    """Read the records of all repeats of a case; their gaps between tokens are those of one in equally many streams."""
    found = [load_repeat(number, processes, len(recorded)) for number, processes in recorded.items()]
    every = max((repeat.tokens.every for repeat in found), default=1)
    return [replace(repeat, tokens=repeat.tokens.at(every)) for repeat in found]


def load_repeat(number: int, processes: Sequence[RecordPaths], repeats: int = 1) -> Repeat:
    """Read the records of a repeat's processes, complete or not. It is one of so many that are held together."""
    zeros = [read_header(process.requests)[0].t0_unix_s for process in processes]
    folder = processes[0].requests.parent if processes else Path()
    rows, attempts = RowsBuilder(REQUEST_DTYPE, folder), RowsBuilder(ATTEMPT_DTYPE, folder)
    found, damaged, tokens = list[ProcessColumns](), list[str](), list[tuple[TokenColumns, int]]()
    for process, zero in zip(processes, zeros, strict=True):
        shift_s = zero - min(zeros)
        end = read_if_whole(process.end, End, damaged)
        before = rows.count
        users, index = _add_requests(rows, process, end, shift_s, damaged)
        counts = _optional(process.tokens, TOKEN_DTYPE, damaged, None if end is None else end.token_rows)
        most = GAP_ROWS_MAX // (repeats * len(processes))
        gaps, every = _gaps(process.gaps, damaged, None if end is None else end.gap_rows, most)
        tokens.append((matched(index, counts, gaps, every), rows.count - before))
        for block in _blocks(process.attempts, ATTEMPT_DTYPE, damaged, None if end is None else end.attempt_rows):
            attempts.add(_shifted(block, _ATTEMPT_INSTANTS, shift_s))
        timeline = _rows(process.timeline, TIMELINE_DTYPE, damaged, None if end is None else end.tick_rows)
        timeline["t"] += shift_s
        if not decisions.is_sound(process.decisions, end is not None, None if end is None else end.decision_rows):
            damaged.append(f"lines are damaged, or some are missing ({process.decisions.name})")
        interim = read_interim(process.interim, damaged) if end is None else Interim()
        found.append(ProcessColumns(process.process, timeline, end, interim, rows.count - before, users))
    return Repeat(number, rows.rows(), attempts.rows(), found, tuple(damaged), joined(tokens))


def _add_requests(
    into: RowsBuilder, process: RecordPaths, end: End | None, shift_s: float, damaged: list[str]
) -> tuple[tuple[int, ...], Array]:
    """Read the requests of a process. Returns its client applications if it was killed, and the index of each row.

    The index is needed to match tokens, and left out where there are none.
    """
    users, index = set[int](), [np.empty(0, np.uint64)]
    counted = process.tokens.exists()
    for block in _blocks(process.requests, REQUEST_DTYPE, damaged, None if end is None else end.recorded):
        into.add(_shifted(block, _REQUEST_INSTANTS, shift_s))
        if end is None:
            users.update(np.unique(block["user"]).tolist())
        if counted:
            index.append(block["index"].copy())
    return tuple(sorted(users)), np.concatenate(index)


_REQUEST_INSTANTS = ("due", "fired", "first_sent", "sent", "first_byte", "last_chunk", "done")
_ATTEMPT_INSTANTS = ("sent", "first_byte", "done")


def _gaps(path: Path, damaged: list[str], expected: int | None, most: int) -> tuple[Array, int]:
    """Gaps of all streams, or of one in so many where there are more rows than `most`; and how many that are."""
    every, held, parts = 1, 0, list[Array]()
    for block in _blocks(path, GAP_DTYPE, damaged, expected) if expected or path.exists() else ():
        parts.append(block if every == 1 else thinned(block, every))
        held += len(parts[-1])
        while held > most and every < EVERY_MAX:
            every *= 2
            parts = [thinned(part, every) for part in parts]
            held = sum(map(len, parts))
    return np.concatenate([np.empty(0, GAP_DTYPE), *parts], dtype=GAP_DTYPE), every


def _rows(path: Path, dtype: np.dtype[Any], damaged: list[str], expected: int | None = None) -> Array:
    """A copy of the sound rows of a file; see `_blocks`."""
    # With the dtype, numpy need not compare the fields of every two blocks, which took most of the time.
    return np.concatenate([np.empty(0, dtype), *_blocks(path, dtype, damaged, expected)], dtype=dtype)


def _blocks(path: Path, dtype: np.dtype[Any], damaged: list[str], expected: int | None = None) -> Iterator[Array]:
    """The sound rows of a file, frame by frame; defects are added to `damaged`.

    `expected` is the number of rows according to the process. It is None if the process was killed; then a missing or
    short file is no defect.
    """
    there, sound = 0, True
    try:
        there, sound = yield from sound_frames(path, dtype)
    except (TornHeaderError, OSError):
        # A process that was killed leaves this only in its first file: the next ones get their name with their header.
        sound = parts_of(path) == [path]
    except OtherRowsError:
        raise
    except ValueError as error:
        damaged.append(f"{error} ({path.name})")
        return
    if not sound or (expected is not None and expected != there):
        damaged.append(f"rows are damaged, or some are missing ({path.name})")


def sound_frames(path: Path, dtype: np.dtype[Any]) -> Generator[Array, None, tuple[int, bool]]:
    """The sound rows of a file, frame by frame; returns their number, and whether none is damaged or missing.

    Raises ValueError and OSError as `read_header` and `frames_of` do.
    """
    there, sound = 0, True
    read_header(path)
    for rows, whole in frames_of(path, dtype):
        sound = sound and whole
        if rows is not None:
            there += len(rows)
            yield rows
    return there, sound


def _optional(path: Path, dtype: np.dtype[Any], damaged: list[str], expected: int | None) -> Array:
    """The same for a file that exists only if there are rows; an earlier version of paceline did not write it."""
    return _rows(path, dtype, damaged, expected) if expected or path.exists() else np.empty(0, dtype)


def _shifted(rows: Array, instants: Sequence[str], shift_s: float) -> Array:
    shift = round(shift_s * 1e9)
    if not shift or not len(rows):
        return rows
    rows = rows.copy()
    for name in instants:
        column = rows[name]
        always = name in {"due", "fired", "done"}
        rows[name] = np.where(always | (column >= 0), column + shift, column)
    return rows


def latency(rows: Array) -> Array:
    """done - due."""
    return _difference(rows["done"], rows["due"])


def lag(rows: Array) -> Array:
    """fired - due: the delay of the load generator."""
    return _difference(rows["fired"], rows["due"])


def queue_wait(rows: Array) -> Array:
    """first sent - fired: the wait in the strategy and its layers. If never sent: done - fired."""
    return _difference(np.where(was_sent(rows), rows["first_sent"], rows["done"]), rows["fired"])


def retry_time(rows: Array) -> Array:
    """last sent - first sent; 0 if never sent."""
    return np.where(was_sent(rows), rows["sent"] - rows["first_sent"], 0)


def service_time(rows: Array) -> Array:
    """done - last sent; 0 if never sent. The four parts add up to the latency exactly."""
    return np.where(was_sent(rows), rows["done"] - rows["sent"], 0)


def _difference(later: Array, earlier: Array) -> Array:
    difference: Array = later - earlier
    return difference


def was_sent(rows: Array) -> Array:
    """Whether a request was sent."""
    sent: Array = rows["sent"] >= 0
    return sent


def sent_itself(rows: Array) -> Array:
    """Whether a row has its own exchange: not if its item shares one, or if only layers made calls."""
    sent: Array = (rows["attempts"] > 0) & was_sent(rows)
    return sent


def exchanges(repeat: Repeat) -> tuple[Array, Array]:
    """Start and end of every attempt, in ns, as new arrays: the intervals in which something was in flight.

    A request that sleeps between two attempts is not in flight. Items that share a request count once.
    """
    last = chosen(repeat.rows, sent_itself(repeat.rows))
    starts = np.concatenate([last["sent"], repeat.attempts["sent"]])
    ends = np.concatenate([last["done"], repeat.attempts["done"]])
    return starts, np.maximum(ends, starts, out=ends)

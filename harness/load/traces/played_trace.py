"""The played trace: a part of the recorded one, faster or slower, once, several times, or blocks drawn from it. Pure.

A row that is played a second time gets a copy number: its prompt and its session share nothing with the first time, and
share with the other rows of the same copy what they shared before.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from harness.base import units
from harness.client.errors import UsageError
from harness.load.traces.reading import ROWS_MAX, Rows

BLOCKS = 20
"""Without --trace-block, the number of blocks that a trace is divided into."""
GAP_MIN_S = 0.001


@dataclass(frozen=True)
class Changes:
    """Changes to a trace. Times are of the trace, before `speed`."""

    speed: float = 1.0
    from_s: float | None = None
    until_s: float | None = None
    repeat: int = 1
    bootstrap_s: float | None = None
    block_s: float | None = None


@dataclass(frozen=True)
class Played:
    """The arrivals in order: when each is due, which row of the trace it is, and which copy of that row."""

    due_s: array[float]
    row: array[int]
    # Empty if no row is played twice.
    copy: array[int]
    # Length of the played part, up to one mean gap after the last arrival.
    length_s: float
    # Length of the drawn blocks, in the trace's time; None without them.
    block_s: float | None = None

    def __len__(self) -> int:
        return len(self.due_s)

    def copy_of(self, position: int) -> int:
        """How often the row of this arrival was played before."""
        return self.copy[position] if self.copy else 0


def played(rows: Rows, changes: Changes, rng: Random, path: str) -> Played:
    """The arrivals that are played. The same `rng` gives the same ones. Raises UsageError if there are none."""
    start_s = changes.from_s or 0.0
    low = bisect_left(rows.at_s, start_s)
    high = len(rows) if changes.until_s is None else bisect_left(rows.at_s, changes.until_s)
    if low >= high:
        raise UsageError(
            f"--trace {path}: no arrival between {units.seconds(start_s)} and "
            f"{'its end' if changes.until_s is None else units.seconds(changes.until_s)}; its arrivals are within "
            f"{units.seconds(rows.at_s[-1])} of the first one"
        )
    length_s = _length_s(rows, low, high, start_s, changes.until_s)
    if changes.bootstrap_s is not None:
        return _bootstrapped(rows, low, high, start_s, length_s, changes, rng)
    return _repeated(rows, low, high, start_s, length_s, changes)


def _length_s(rows: Rows, low: int, high: int, start_s: float, until_s: float | None) -> float:
    """Length of the part in the trace's time: up to its cut, or one mean gap after its last arrival."""
    last_s, gaps = rows.at_s[high - 1], high - low - 1
    end_s = last_s + max((last_s - rows.at_s[low]) / gaps if gaps else 0.0, GAP_MIN_S)
    if until_s is not None:
        end_s = until_s if high < len(rows) else min(until_s, end_s)
    return end_s - start_s


def _repeated(rows: Rows, low: int, high: int, start_s: float, length_s: float, changes: Changes) -> Played:
    count = high - low
    _check_number(count * changes.repeat)
    due_s, row, copy = array("d"), array("I"), array("I")
    for number in range(changes.repeat):
        shift_s = number * length_s - start_s
        due_s.extend((at_s + shift_s) / changes.speed for at_s in rows.at_s[low:high])
        row.extend(range(low, high))
        if changes.repeat > 1:
            copy.extend([number] * count)
    return Played(due_s, row, copy, changes.repeat * length_s / changes.speed)


def _bootstrapped(
    rows: Rows, low: int, high: int, start_s: float, length_s: float, changes: Changes, rng: Random
) -> Played:
    """Circular block bootstrap (Politis and Romano, 1992): blocks begin anywhere, and the end goes on at the start."""
    wanted_s = changes.bootstrap_s or length_s
    if rows.at_s[high - 1] == rows.at_s[low]:
        raise UsageError(
            f"--trace-bootstrap {wanted_s:g}: all arrivals of the trace are at one instant: it has no blocks"
        )
    block_s = min(changes.block_s or max(length_s / BLOCKS, GAP_MIN_S), length_s)
    _check_number(round(wanted_s / length_s * (high - low)) + math.ceil(wanted_s / block_s))
    due_s, row, copy = array("d"), array("I"), array("I")
    seen = array("I", [0]) * (high - low)
    for number in range(math.ceil(wanted_s / block_s)):
        begin_s = rng.uniform(0.0, length_s)
        for offset_s, which in _block(rows, low, high, start_s, length_s, begin_s, block_s):
            at_s = number * block_s + offset_s
            if at_s < wanted_s:
                due_s.append(at_s / changes.speed)
                row.append(which)
                copy.append(seen[which - low])
                seen[which - low] += 1
    if not due_s:
        raise UsageError(f"--trace-bootstrap {wanted_s:g}: no arrival in the drawn blocks of {units.seconds(block_s)}")
    return Played(due_s, row, copy, wanted_s / changes.speed, block_s)


def _block(
    rows: Rows, low: int, high: int, start_s: float, length_s: float, begin_s: float, block_s: float
) -> Iterator[tuple[float, int]]:
    """Offset in the block and row of each arrival of the block that begins at `begin_s` of the part."""
    first = bisect_left(rows.at_s, start_s + begin_s, low, high)
    end = bisect_left(rows.at_s, start_s + begin_s + block_s, low, high)
    for which in range(first, end):
        yield rows.at_s[which] - start_s - begin_s, which
    # From the start again.
    end = bisect_left(rows.at_s, start_s + begin_s + block_s - length_s, low, high)
    for which in range(low, min(end, first)):
        yield rows.at_s[which] - start_s - begin_s + length_s, which


def _check_number(count: int) -> None:
    if count > ROWS_MAX:
        raise UsageError(f"the trace would have {count:,} arrivals, of at most {ROWS_MAX:,}; make it shorter")

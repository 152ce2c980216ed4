"""Token counts and gaps of one repeat as columns, matched to the rows of its requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.measure.record.rows_file import GAP_DTYPE, TOKEN_DTYPE

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class TokenColumns:
    """Rows of both files; `row` is the place of the request among the rows of the repeat.

    Of many gaps only those of every so many streams are held, so that memory has a bound.
    """

    counts: Array
    gaps: Array
    every: int = 1
    # The first row of each process, until rows are left out.
    starts: tuple[int, ...] = (0,)

    def at(self, every: int) -> TokenColumns:
        """With the gaps of one in so many streams, at least as many as before; while no row is left out."""
        if every == self.every:
            return self
        starts = np.array(self.starts, np.uint64)
        own = self.gaps["row"] - starts[np.searchsorted(starts, self.gaps["row"], side="right") - 1]
        return replace(self, gaps=_those(self.gaps, _is_chosen(own, every)), every=every)

    def kept(self, mask: Array) -> TokenColumns:
        """What belongs to the requests for which the mask is true, with their places among these."""
        places = np.cumsum(mask) - 1
        counts, gaps = (_moved(_those(part, mask[part["row"]]), places) for part in (self.counts, self.gaps))
        return TokenColumns(counts, gaps, self.every)


_MIX = np.uint64(0x9E37_79B9_7F4A_7C15)  # 2^64 over the golden ratio (Knuth)
NO_TOKENS = TokenColumns(np.empty(0, TOKEN_DTYPE), np.empty(0, GAP_DTYPE))


def _those(part: Array, mask: Array) -> Array:
    """A copy of the rows for which the mask is true."""
    chosen: Array = part[mask]
    return chosen


def _moved(part: Array, places: Array) -> Array:
    part["row"] = places[part["row"]]
    return part


def matched(index: Array, counts: Array, gaps: Array, every: int = 1) -> TokenColumns:
    """The rows whose request is there; `index` is that of each request.

    A request may be missing if its process was killed or its file is damaged.
    """
    counts = counts[counts["row"] < len(index)]
    counts = counts[index[counts["row"]] == counts["index"]]
    known = np.zeros(len(index), bool)
    known[counts["row"]] = True
    inside = gaps["row"] < len(index)
    # Millions of gaps are copied only where some have to go.
    gaps = gaps if inside.all() else gaps[inside]
    there = known[gaps["row"]]
    return TokenColumns(counts, gaps if there.all() else gaps[there], every)


def joined(parts: Sequence[tuple[TokenColumns, int]]) -> TokenColumns:
    """Several processes together, each with its number of requests, whose rows follow one another."""
    if not any(len(part.counts) for part, _ in parts):
        return NO_TOKENS
    if len(parts) == 1:
        return parts[0][0]
    starts = np.cumsum([0, *(size for _, size in parts)]).tolist()
    # Pooled, each stream has the same weight.
    every = max(part.every for part, _ in parts)
    parts = [(part.at(every), size) for part, size in parts]

    def together(of: Callable[[TokenColumns], Array]) -> Array:
        moved = []
        for (part, _), start in zip(parts, starts, strict=False):
            rows = of(part).copy()
            rows["row"] += np.uint64(start)
            moved.append(rows)
        whole: Array = np.concatenate(moved)
        return whole

    gaps = together(lambda part: part.gaps)
    return TokenColumns(together(lambda part: part.counts), gaps, every, tuple(starts[:-1]))


def thinned(gaps: Array, every: int) -> Array:
    """Rows of one in so many streams, chosen by a hash of their place: streams of two kinds may come in turns.

    What twice as many streams leave is a part of it.
    """
    return _those(gaps, _is_chosen(gaps["row"], every))


def _is_chosen(places: Array, every: int) -> Array:
    """Whether the streams at these places are among one in so many."""
    chosen: Array = ((places * _MIX) >> np.uint64(32)) % np.uint64(every) == 0
    return chosen

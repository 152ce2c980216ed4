"""Token counts and gaps of one repeat as columns, matched to the rows of its requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.measure.record.rows_file import GAP_DTYPE, TOKEN_DTYPE

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class TokenColumns:
    """Rows of both files; `row` is the place of the request among the rows of the repeat."""

    counts: Array
    gaps: Array

    def kept(self, mask: Array) -> TokenColumns:
        """What belongs to the requests for which the mask is true, with their places among these."""
        places = np.cumsum(mask) - 1
        return TokenColumns(*(_moved(_those(part, mask[part["row"]]), places) for part in (self.counts, self.gaps)))


NO_TOKENS = TokenColumns(np.empty(0, TOKEN_DTYPE), np.empty(0, GAP_DTYPE))


def _those(part: Array, mask: Array) -> Array:
    """A copy of the rows for which the mask is true."""
    chosen: Array = part[mask]
    return chosen


def _moved(part: Array, places: Array) -> Array:
    part["row"] = places[part["row"]]
    return part


def matched(index: Array, counts: Array, gaps: Array) -> TokenColumns:
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
    return TokenColumns(counts, gaps if there.all() else gaps[there])


def joined(parts: Sequence[tuple[TokenColumns, int]]) -> TokenColumns:
    """Several processes together, each with its number of requests, whose rows follow one another."""
    if not any(len(part.counts) for part, _ in parts):
        return NO_TOKENS
    if len(parts) == 1:
        return parts[0][0]
    starts = np.cumsum([0, *(size for _, size in parts)]).tolist()

    def together(of: Callable[[TokenColumns], Array]) -> Array:
        moved = []
        for (part, _), start in zip(parts, starts, strict=False):
            rows = of(part).copy()
            rows["row"] += np.uint64(start)
            moved.append(rows)
        whole: Array = np.concatenate(moved)
        return whole

    return TokenColumns(together(lambda part: part.counts), together(lambda part: part.gaps))

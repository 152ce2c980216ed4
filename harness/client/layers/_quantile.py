"""A quantile of the last values, kept while they arrive."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque

SAMPLES = 256  # values that are remembered


class RunningQuantile:
    """A running quantile of the last `size` values, exact; pure, O(log n) to find and O(n) in a short memmove."""

    __slots__ = ("_age", "_size", "_sorted")

    def __init__(self, size: int = SAMPLES) -> None:
        self._size = size
        self._age: deque[float] = deque()
        self._sorted: list[float] = []

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, value: float) -> None:
        """Add a value; the oldest is dropped."""
        if len(self._age) == self._size:
            del self._sorted[bisect_left(self._sorted, self._age.popleft())]
        self._age.append(value)
        insort(self._sorted, value)

    def at(self, q: float) -> float:
        """The value below which a share of `q` lies (the higher neighbour); NaN of nothing."""
        return self._sorted[min(len(self._sorted) - 1, math.ceil(q * len(self._sorted)))] if self._sorted else math.nan

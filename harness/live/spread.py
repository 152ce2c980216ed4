"""The spread of a quantity so far, in bounded memory: a histogram of logarithmic buckets, each 1 % wide."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from harness.measure.reduce.statistics import LEAST_N, PERCENTILES
from harness.measure.result import Distribution, Quantile

Array = np.ndarray[Any, np.dtype[Any]]

FLOOR_NS = 1_000.0
LOG_GAMMA = math.log(1.01)
BUCKETS = 2_600
"""From 1 µs to two days."""
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds of the buckets that Prometheus gets. Their counts are exact."""
_BOUNDS_NS = np.array(BOUNDS_S) * 1e9


class Spread:
    """Values are nanoseconds."""

    def __init__(self) -> None:
        self.n = 0
        self.sum_s = 0.0
        self.max_s = 0.0
        self.min_s = math.inf
        self._counts = np.zeros(BUCKETS, np.int64)
        self._below = np.zeros(len(BOUNDS_S) + 1, np.int64)

    def add(self, values: Array) -> None:
        """Count more values."""
        if not len(values):
            return
        self.n += len(values)
        self.sum_s += float(np.sum(values, dtype=np.float64)) / 1e9
        self.max_s = max(self.max_s, float(values.max()) / 1e9)
        self.min_s = min(self.min_s, float(values.min()) / 1e9)
        places = np.log(np.maximum(values, FLOOR_NS) / FLOOR_NS) / LOG_GAMMA
        self._counts += np.bincount(np.minimum(places.astype(np.int64), BUCKETS - 1), minlength=BUCKETS)
        self._below += np.bincount(np.searchsorted(_BOUNDS_NS, values, "left"), minlength=len(self._below))

    def quantile(self, name: str) -> float | None:
        """A percentile in seconds, at most 1 % off; None if there are too few values for it."""
        if self.n < LEAST_N[name]:
            return None
        place = int(np.searchsorted(np.cumsum(self._counts), math.ceil(PERCENTILES[name] * self.n - 1e-9)))
        middle_s = FLOOR_NS * math.exp((place + 0.5) * LOG_GAMMA) / 1e9
        return min(max(middle_s, self.min_s), self.max_s)

    def cumulative(self) -> list[int]:
        """How many values are at or below each of `BOUNDS_S`, and how many there are."""
        found: list[int] = np.cumsum(self._below).tolist()
        return found

    def distribution(self) -> Distribution:
        """As a result has it, without intervals."""
        if not self.n:
            return Distribution()
        found: dict[str, Any] = {name: Quantile(self.quantile(name)) for name in PERCENTILES}
        return Distribution(n=self.n, mean=self.sum_s / self.n, max=self.max_s, min=self.min_s, **found)

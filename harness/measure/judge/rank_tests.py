"""Exact rank tests and the intervals that belong to them. Pure; numpy only.

Rules of this file
  1. A test and its interval agree: the interval of a level leaves out exactly the shifts that the test rejects at it.
  2. Ties and zeros count against a difference. With them the true level is below the stated one, never above.
  3. Exact up to EXACT_MAX values a side, then the normal approximation.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

LEVEL = 0.05
EXACT_MAX = 50


class Shifts(NamedTuple):
    """All shifts between two samples in ascending order, and the null distribution of the number below zero."""

    values: Array
    cumulated: Array

    @property
    def estimate(self) -> float:
        """The Hodges-Lehmann estimate."""
        return float(np.median(self.values))

    def interval(self, level: float = LEVEL) -> tuple[float, float] | None:
        """The interval of confidence 1 - level; None if the samples are too small for it."""
        cut = int(np.searchsorted(self.cumulated, level / 2 + 1e-12, "right"))
        return (float(self.values[cut - 1]), float(self.values[-cut])) if cut else None

    def p_above(self, shift: float) -> float:
        """Two-sided p of the evidence that the true shift is above this one."""
        return self._p(int(np.searchsorted(self.values, shift, "right")))

    def p_below(self, shift: float) -> float:
        """Two-sided p of the evidence that the true shift is below this one."""
        return self._p(len(self.values) - int(np.searchsorted(self.values, shift, "left")))

    def _p(self, against: int) -> float:
        return 1.0 if against >= len(self.cumulated) else min(1.0, 2 * float(self.cumulated[against]))


def signed_rank(differences: Sequence[float]) -> Shifts:
    """Wilcoxon's signed-rank test of paired differences: the Walsh averages."""
    values = np.asarray(differences, float)
    first, second = np.triu_indices(len(values))
    return Shifts(np.sort((values[first] + values[second]) / 2), _signed_rank_cumulated(len(values)))


def mann_whitney(reference: Sequence[float], other: Sequence[float]) -> Shifts:
    """The test of Mann and Whitney on two independent samples: all differences other - reference."""
    shifts = np.subtract.outer(np.asarray(other, float), np.asarray(reference, float))
    return Shifts(np.sort(shifts.ravel()), _mann_whitney_cumulated(len(reference), len(other)))


def least_pairs(level: float) -> int:
    """The number of pairs from which a p at or below this level is possible."""
    return max(1, math.ceil(math.log2(2 / level) - 1e-9))


def least_repeats(level: float) -> int:
    """The number of repeats in each of two equal samples from which a p at or below this level is possible."""
    n = 1
    while 2 / math.comb(2 * n, n) > level:
        n += 1
    return n


def holm(values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the given order."""
    adjusted, most = [1.0] * len(values), 0.0
    for place, at in enumerate(sorted(range(len(values)), key=lambda at: values[at])):
        most = max(most, min(1.0, (len(values) - place) * values[at]))
        adjusted[at] = most
    return adjusted


@functools.cache
def _signed_rank_cumulated(n: int) -> Array:
    size = n * (n + 1) // 2
    if n > EXACT_MAX:
        return _normal(size, math.sqrt(n * (n + 1) * (2 * n + 1) / 24))
    chance = np.zeros(size + 1)
    chance[0] = 1.0
    for rank in range(1, n + 1):
        shifted = np.zeros_like(chance)
        shifted[rank:] = chance[:-rank]
        chance = (chance + shifted) / 2
    return _sealed(np.cumsum(chance))


@functools.cache
def _mann_whitney_cumulated(first: int, second: int) -> Array:
    size = first * second
    if max(first, second) > EXACT_MAX:
        return _normal(size, math.sqrt(size * (first + second + 1) / 12))
    # Ways to choose k of the first j ranks with a given sum above the smallest possible one.
    ways = [np.zeros(size + 1) for _ in range(first + 1)]
    ways[0][0] = 1.0
    for rank in range(1, first + second + 1):
        for k in range(min(rank, first), 0, -1):
            excess = rank - k
            if excess <= size:
                ways[k][excess:] += ways[k - 1][: size + 1 - excess]
    return _sealed(np.cumsum(ways[first]) / math.comb(first + second, first))


def _normal(size: int, deviation: float) -> Array:
    """The null distribution of a count of `size` shifts, by its normal approximation with continuity correction."""
    law = NormalDist(size / 2, deviation)
    return _sealed(np.array([law.cdf(count + 0.5) for count in range(size + 1)]))


def _sealed(values: Array) -> Array:
    values.flags.writeable = False
    return values

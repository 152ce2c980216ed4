"""Intervals over trials for the judgement of a probe: shares, percentiles by inversion, means. Pure.

A percentile's interval is Woodruff's (1952) with the trial as the cluster, as in `statistics`. Its standard error is
never below that of independent requests: a few trials that agree by chance do not make a figure certain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.measure.reduce.statistics import REPEATS_MIN, rank, t975

Array = np.ndarray[Any, np.dtype[Any]]


def half_width(shares: Array, p: float, n: int) -> float:
    """Half of the 95 % interval of a share that may be `p`: from the spread of the trials, or of `n` requests."""
    trials = len(shares)
    spread = float(np.std(shares, ddof=1)) / math.sqrt(trials)
    return t975(trials - 1) * max(spread, math.sqrt(p * (1 - p) / max(n, 1)))


def quantile_interval(trials: Sequence[Array], p: float) -> tuple[float | None, float | None, float | None]:
    """The p-quantile of all sorted trials with its interval; a side that the data cannot bound is None.

    Where the spread of the trials reaches beyond 1, the upper end is the greatest value of all, if there are enough
    requests for that to mean anything.
    """
    groups = [values for values in trials if len(values)]
    pooled = np.sort(np.concatenate(groups)) if groups else np.empty(0)
    n = len(pooled)
    if not n:
        return None, None, None
    value = float(pooled[rank(n, p)])
    if len(groups) < REPEATS_MIN:
        return value, None, None
    half = half_width(np.array([np.searchsorted(group, value, "right") / len(group) for group in groups]), p, n)
    low = float(pooled[rank(n, p - half)]) if p - half > 0 else None
    if p + half <= 1:
        return value, low, float(pooled[rank(n, p + half)])
    enough = p + half_width(np.ones(len(groups)), p, n) <= 1
    return value, low, float(pooled[-1]) if enough else None


def share_interval(counts: Sequence[int], totals: Sequence[int], limit: float) -> tuple[float | None, ...]:
    """A share over all trials with its interval."""
    n = sum(totals)
    if not n:
        return None, None, None
    value = sum(counts) / n
    shares = np.array([count / total for count, total in zip(counts, totals, strict=True) if total])
    if len(shares) < REPEATS_MIN:
        return value, None, None
    half = half_width(shares, min(max(limit, 1e-9), 0.5), n)
    return value, max(0.0, value - half), min(1.0, value + half)


def mean_interval(values: Sequence[float]) -> tuple[float | None, ...]:
    """The mean of the trials' values with Student's interval."""
    if not values:
        return None, None, None
    value = float(np.mean(values))
    if len(values) < REPEATS_MIN:
        return value, None, None
    half = t975(len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return value, value - half, value + half

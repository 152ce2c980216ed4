"""Exact quantiles, their intervals over repeats, and distributions: pure functions of integer nanoseconds.

Rules of this file
  1. A quantile is an observed value: the smallest one with at least a share p of all values at or below it
     (nearest rank, numpy's `inverted_cdf`), without interpolation.
  2. A percentile of fewer than LEAST_N values is not reported, because it has no one-sided 95 % upper bound
     (1 - p^n < 0.95). The median needs both bounds, which takes 5 values at 93.75 %. That bound is for independent
     values: with a smaller effective n the percentile is rough, unless its repeats give it an upper bound.
  3. Requests within a repeat are autocorrelated, so the repeat is the sampling unit: intervals come from the spread of
     the repeats' distribution functions at the pooled quantile (Woodruff 1952, with clusters). Rates and makespans
     have a t interval on the logarithms of the repeats' figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.measure.reduce.effective_n import effective_n
from harness.measure.result import Distribution, Quantile

Array = np.ndarray[Any, np.dtype[Any]]

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}
LEAST_N = {"p50": 5, "p90": 29, "p95": 59, "p99": 299, "p99_9": 2995}
WIDENED = 1.1
"""Factor on the intervals of a run whose number of repeats depended on them: see `judge.precision`."""
REPEATS_MIN = 3
"""Fewer repeats give no interval: the t quantile of one degree of freedom is 12.7."""

HISTOGRAM_GAMMA = 1.1
HISTOGRAM_BUCKETS_MAX = 199
HISTOGRAM_FLOOR_NS = 1_000

_T975 = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860),
)
_Z975, _Z995 = 1.959963985, 2.575829304


def rank(n: int, p: float) -> int:
    """Index of the p-quantile among n sorted values."""
    return min(max(math.ceil(p * n - 1e-9), 1), n) - 1


def t975(degrees: int) -> float:
    """The 97.5 % quantile of Student's t: tabled to 20 degrees of freedom, then Hill's expansion (error below 1e-4)."""
    if degrees < 1:
        raise ValueError(f"degrees={degrees} must be at least 1")
    if degrees <= len(_T975):
        return _T975[degrees - 1]
    z, v = _Z975, float(degrees)
    return z + (z**3 + z) / (4 * v) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)


def t995(degrees: float) -> float:
    """The 99.5 % quantile of Student's t; also of a fraction of degrees, from 4 on (error below 2 %)."""
    z, v = _Z995, degrees
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )


def quantile(
    pooled: Array,
    p: float,
    least_n: int = 1,
    repeats: Sequence[Array] = (),
    n_effective: float | None = None,
    factor: float = 1.0,
) -> Quantile:
    """The p-quantile in seconds of sorted nanoseconds, with a 95 % interval if there are enough (sorted) repeats.

    A side of the interval that the data cannot bound (p + h above 1, p - h below 0) is null. `factor` widens it.
    """
    n = len(pooled)
    if n < max(least_n, 1):
        return Quantile()
    value = pooled[rank(n, p)]
    low = high = None
    groups = [values for values in repeats if len(values)]
    if len(groups) >= REPEATS_MIN:
        shares = [np.searchsorted(values, value, "right") / len(values) for values in groups]
        half = factor * t975(len(groups) - 1) * float(np.std(shares, ddof=1)) / math.sqrt(len(groups))
        low = _seconds(pooled[rank(n, p - half)]) if p - half > 0 else None
        high = _seconds(pooled[rank(n, p + half)]) if p + half <= 1 else None
    rough = n_effective is not None and n_effective < least_n and high is None
    return Quantile(_seconds(value), low, high, rough)


def interval(
    value: float | None, of_repeats: Sequence[float | None], factor: float = 1.0
) -> tuple[float | None, float | None]:
    """The 95 % t interval of a positive figure on a logarithmic scale, from the figures of the repeats.

    `factor` widens it.

    It lies around `value`, which is pooled over the repeats. Both ends are null below REPEATS_MIN repeats, and if a
    repeat has no figure or 0: a logarithm does not exist there.
    """
    found = [figure for figure in of_repeats if figure is not None and figure > 0]
    if not value or len(found) < max(REPEATS_MIN, len(of_repeats)):
        return None, None
    spread = float(np.std(np.log(found), ddof=1))
    ratio = math.exp(factor * t975(len(found) - 1) * spread / math.sqrt(len(found)))
    return value / ratio, value * ratio


def distribution(repeats: Sequence[Array], sequence: bool = False, factor: float = 1.0) -> Distribution:
    """The distribution of a quantity, from one array of nanoseconds per repeat. Figures are of the pooled values.

    `sequence`: the values are in order of time, so their autocorrelation counts. `factor` widens the intervals.
    """
    n_effective = effective_n(repeats) if sequence else None
    ordered = [np.sort(values) for values in repeats]
    pooled = ordered[0] if len(ordered) == 1 else np.sort(np.concatenate([*ordered, np.empty(0, np.int64)]))
    n = len(pooled)
    if not n:
        return Distribution()
    edges, counts = histogram(pooled)
    return Distribution(
        n=n,
        n_effective=n_effective,
        mean=float(np.mean(pooled, dtype=np.float64)) / 1e9,
        max=_seconds(pooled[-1]),
        min=_seconds(pooled[0]),
        log_edges=edges,
        log_counts=counts,
        **{name: quantile(pooled, p, LEAST_N[name], ordered, n_effective, factor) for name, p in PERCENTILES.items()},
    )


def histogram(pooled: Array) -> tuple[list[float], list[int]]:
    """Logarithmic buckets of sorted nanoseconds: edges in seconds (10 % apart), and counts.

    All edges are on one logarithmic grid that starts at 1 µs, so histograms of different cases align. If the range
    needs more than 199 buckets, every second edge is left out. Values below 1 µs are counted in the first bucket.
    """
    low_ns, high_ns = (max(float(pooled[end]), HISTOGRAM_FLOOR_NS) for end in (0, -1))
    step = 1
    while True:
        log_gamma = step * math.log(HISTOGRAM_GAMMA)
        first = math.floor(math.log(low_ns / HISTOGRAM_FLOOR_NS) / log_gamma + 1e-9)
        last = math.floor(math.log(high_ns / HISTOGRAM_FLOOR_NS) / log_gamma + 1e-9) + 1
        if last - first <= HISTOGRAM_BUCKETS_MAX:
            break
        step *= 2
    edges = HISTOGRAM_FLOOR_NS * np.exp(log_gamma * np.arange(first, last + 1))
    places = np.searchsorted(pooled, edges, "left")
    # Rounding must not exclude the smallest or the largest value.
    places[0], places[-1] = 0, len(pooled)
    return [float(f"{edge / 1e9:.6g}") for edge in edges], np.diff(places).tolist()


def percentile_of(values: Array) -> tuple[str, float] | None:
    """The highest percentile up to p99 that n allows, as (name, seconds); None if n allows none."""
    for name in ("p99", "p95", "p90", "p50"):
        if len(values) >= LEAST_N[name]:
            place = rank(len(values), PERCENTILES[name])
            return name, _seconds(np.partition(values, place)[place])
    return None


def _seconds(nanoseconds: Any) -> float:
    return float(nanoseconds) / 1e9

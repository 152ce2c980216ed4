"""Percentiles and the distribution of a figure, as part of a result."""

from __future__ import annotations

import msgspec


class Quantile(msgspec.Struct, frozen=True):
    """A percentile with its interval; value is null when n is too small for it."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    rough: bool = False  # n is large enough but n_effective is not, and the repeats give no upper bound


class Distribution(msgspec.Struct, frozen=True):
    """Seconds. `log_counts[i]` counts values in [log_edges[i], log_edges[i+1])."""

    n: int = 0
    n_effective: float | None = None  # independent values that say as much as the n; null where there is no sequence
    mean: float | None = None
    max: float | None = None
    min: float | None = None
    p50: Quantile = Quantile()
    p90: Quantile = Quantile()
    p95: Quantile = Quantile()
    p99: Quantile = Quantile()
    p99_9: Quantile = Quantile()
    log_edges: list[float] = []
    log_counts: list[int] = []

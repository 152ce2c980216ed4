"""How other tools search a capacity, as pure rules written from their published descriptions, for a comparison.

One probe goes in (a load, with its attainment and whether its point estimates hold the SLO), the next load comes out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

GUIDELLM_TARGET, GUIDELLM_PROBES_MAX = 0.95, 15
AIPERF_WIDTH, AIPERF_PROBES_MAX = 0.05, 40


@dataclass(frozen=True)
class Point:
    """One run at a load: the share of requests within the SLO's time, and whether percentile and errors hold."""

    attainment: float
    holds: bool


Measure = Callable[[int], Point]


def guidellm_goodput(measure: Measure, highest: int = 4096) -> tuple[int, list[tuple[int, bool]]]:
    """Double from 4 while attainment is at least .95, then bisect until hi - lo is at most max(1, .1 lo)."""
    tried: list[tuple[int, bool]] = []

    def passes(load: int) -> bool:
        tried.append((load, measure(load).attainment >= GUIDELLM_TARGET))
        return tried[-1][1]

    low, high = 0, 4
    while high <= highest and len(tried) < GUIDELLM_PROBES_MAX and passes(high):
        low, high = high, 2 * high
    while high - low > max(1, 0.1 * low) and len(tried) < GUIDELLM_PROBES_MAX:
        middle = (low + high) // 2
        low, high = (middle, high) if passes(middle) else (low, middle)
    return low, tried


def aiperf_monotonic(measure: Measure, highest: int = 4096) -> tuple[int, list[tuple[int, bool]]]:
    """Double from 1 while the percentile is under its bound, then bisect until (hi - lo) / hi is below 5 %."""
    tried: list[tuple[int, bool]] = []

    def passes(load: int) -> bool:
        tried.append((load, measure(load).holds))
        return tried[-1][1]

    low, high = 0, 1
    while high <= highest and passes(high):
        low, high = high, 2 * high
    while (high - low) / high >= AIPERF_WIDTH and high - low > 1 and len(tried) < AIPERF_PROBES_MAX:
        middle = (low + high) // 2
        low, high = (middle, high) if passes(middle) else (low, middle)
    return low, tried

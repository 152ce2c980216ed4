"""Arrivals at a piecewise linear rate, by inverting the cumulative rate (time rescaling, Çınlar 1975).

Unit-rate arrivals (evenly spaced, or exponential gaps for a Poisson process) are mapped through the inverse of
Λ(t) = ∫ rate. A ramp of a Poisson process is again a Poisson process, and the same seed gives the same instants.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from random import Random
from typing import NamedTuple

BELOW_ONE = 1.0 - 1e-12
"""An arrival exactly at the end of a segment belongs to the next one, independent of rounding."""


class Segment(NamedTuple):
    """`duration_s` seconds in which the rate goes linearly from `start` to `end` (per second)."""

    duration_s: float
    start: float
    end: float


def unit_arrivals(poisson: bool, rng: Random) -> Iterator[float]:
    """Arrival instants of a unit-rate process: 0, 1, 2 ... or the running sum of exponential gaps."""
    at = rng.expovariate(1.0) if poisson else 0.0
    while True:
        yield at
        at += rng.expovariate(1.0) if poisson else 1.0


def piecewise(segments: Iterable[Segment], poisson: bool, rng: Random) -> Iterator[float]:
    """Due offsets in seconds, ascending, over all segments."""
    units = unit_arrivals(poisson, rng)
    at = next(units)
    # The start of the current segment, and the cumulative rate up to it.
    zero_s, before = 0.0, 0.0
    for duration_s, start, end in segments:
        area = duration_s * (start + end) / 2
        while at - before < area * BELOW_ONE:
            yield zero_s + _inverse(max(0.0, at - before), duration_s, start, end)
            at = next(units)
        zero_s += duration_s
        before += area


def _inverse(area: float, duration_s: float, start: float, end: float) -> float:
    """The instant within a segment at which the cumulative rate reaches `area`."""
    slope = (end - start) / duration_s
    if abs(slope) < 1e-12:
        return area / start
    # The numerically stable root of slope/2 t² + start t = area.
    return 2 * area / (start + math.sqrt(start * start + 2 * slope * area))

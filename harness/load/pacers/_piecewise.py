"""Arrivals under a rate that is linear in pieces, by inverting the cumulated rate (time rescaling, Çınlar 1975).

Unit-rate arrivals (evenly spaced, or exponential gaps for a Poisson process) are mapped through the inverse of
Λ(t) = ∫ rate; so a ramp of a Poisson process is again a Poisson process, and the same seed gives the same instants.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from random import Random
from typing import NamedTuple

BELOW_ONE = 1.0 - 1e-12
"""An arrival at the very end of a segment belongs to the next one; without it rounding would decide."""


class Segment(NamedTuple):
    """`duration_s` seconds in which the rate goes linearly from `start` to `end` (per second)."""

    duration_s: float
    start: float
    end: float


def unit_arrivals(poisson: bool, rng: Random) -> Iterator[float]:
    """Arrival instants of a unit-rate process: 0, 1, 2 ... or cumulated exponential gaps."""
    at = rng.expovariate(1.0) if poisson else 0.0
    while True:
        yield at
        at += rng.expovariate(1.0) if poisson else 1.0


def piecewise(segments: Iterable[Segment], poisson: bool, rng: Random) -> Iterator[float]:
    """Due offsets in seconds, ascending, over all segments."""
    units = unit_arrivals(poisson, rng)
    at = next(units)
    zero_s, before = 0.0, 0.0  # where this segment starts, and the cumulated rate up to there
    for duration_s, start, end in segments:
        area = duration_s * (start + end) / 2
        while at - before < area * BELOW_ONE:
            yield zero_s + _inverse(max(0.0, at - before), duration_s, start, end)
            at = next(units)
        zero_s += duration_s
        before += area


def _inverse(area: float, duration_s: float, start: float, end: float) -> float:
    """The instant within a segment at which the cumulated rate reaches `area`."""
    slope = (end - start) / duration_s
    if abs(slope) < 1e-12:
        return area / start
    return 2 * area / (start + math.sqrt(start * start + 2 * slope * area))  # the stable root of slope/2 t² + start t

"""Evenly spaced arrivals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from harness.client.checks import positive
from harness.load.pacers._piecewise import Segment, piecewise


@dataclass(frozen=True)
class Constant:
    """One item every 1/rate seconds."""

    rate_per_s: float = 20.0

    def __post_init__(self) -> None:
        positive(self, "rate_per_s")

    def arrivals(self, duration_s: float, rng: Random) -> Iterator[float]:
        """Due offsets in seconds in [0, duration_s)."""
        return piecewise([Segment(duration_s, self.rate_per_s, self.rate_per_s)], False, rng)

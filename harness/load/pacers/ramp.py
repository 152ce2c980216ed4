"""A rate that rises or falls linearly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from harness.client.checks import positive
from harness.load.pacers._piecewise import Segment, piecewise


@dataclass(frozen=True)
class Ramp:
    """From a rate to `factor` times that rate, linearly over the whole duration."""

    rate_per_s: float = 10.0
    factor: float = 5.0
    poisson: bool = True

    def __post_init__(self) -> None:
        positive(self, "rate_per_s", "factor")

    def arrivals(self, duration_s: float, rng: Random) -> Iterator[float]:
        """Due offsets in seconds in [0, duration_s)."""
        return piecewise([Segment(duration_s, self.rate_per_s, self.rate_per_s * self.factor)], self.poisson, rng)

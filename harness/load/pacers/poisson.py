"""Poisson arrivals, as many independent callers produce them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from harness.client.checks import positive
from harness.load.pacers._piecewise import Segment, piecewise


@dataclass(frozen=True)
class Poisson:
    """Independent arrivals at a mean rate, with exponential gaps."""

    rate_per_s: float = 20.0

    def __post_init__(self) -> None:
        positive(self, "rate_per_s")

    def arrivals(self, duration_s: float, rng: Random) -> Iterator[float]:
        """Due offsets in seconds in [0, duration_s)."""
        return piecewise([Segment(duration_s, self.rate_per_s, self.rate_per_s)], True, rng)

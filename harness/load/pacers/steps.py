"""A rate that changes in steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from harness.client.checks import positive
from harness.client.errors import SettingError
from harness.load.pacers._piecewise import Segment, piecewise


@dataclass(frozen=True)
class Steps:
    """Steps of equal duration, each at the base rate times its own factor."""

    rate_per_s: float = 10.0
    factors: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    poisson: bool = True

    def __post_init__(self) -> None:
        positive(self, "rate_per_s")
        if not self.factors or not all(0 < factor < math.inf for factor in self.factors):
            raise SettingError(f"factors={self.factors!r}: at least one, each above 0 and finite")

    def arrivals(self, duration_s: float, rng: Random) -> Iterator[float]:
        """Due offsets in seconds in [0, duration_s)."""
        rates = [self.rate_per_s * factor for factor in self.factors]
        return piecewise([Segment(duration_s / len(rates), rate, rate) for rate in rates], self.poisson, rng)

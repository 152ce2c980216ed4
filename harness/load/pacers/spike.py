"""A steady rate with one sudden burst."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from harness.client.checks import positive
from harness.client.errors import SettingError
from harness.load.pacers._piecewise import Segment, piecewise


@dataclass(frozen=True)
class Spike:
    """The base rate, then `factor` times that rate for a share of the duration, then the base rate again."""

    rate_per_s: float = 20.0
    factor: float = 4.0
    start_share: float = 0.4  # of the duration
    width_share: float = 0.2
    poisson: bool = True

    def __post_init__(self) -> None:
        positive(self, "rate_per_s", "factor", "start_share", "width_share")
        if self.start_share + self.width_share > 1:
            raise SettingError(
                f"start_share + width_share = {self.start_share + self.width_share:g} must be at most 1: "
                "the spike ends within the duration"
            )

    def arrivals(self, duration_s: float, rng: Random) -> Iterator[float]:
        """Due offsets in seconds in [0, duration_s)."""
        base, peak = self.rate_per_s, self.rate_per_s * self.factor
        start_s, width_s = duration_s * self.start_share, duration_s * self.width_share
        segments = [Segment(start_s, base, base), Segment(width_s, peak, peak)]
        if (rest_s := duration_s - start_s - width_s) > 0:
            segments.append(Segment(rest_s, base, base))
        return piecewise(segments, self.poisson, rng)

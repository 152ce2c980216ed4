"""Netflix's Gradient2: the limit follows the ratio of a long to a short average of latency.

Source: concurrency-limits, Gradient2Limit in a WindowedLimit, at their defaults. Kept as a baseline: the long average
follows a queue that it caused itself, so the limit drifts upwards; refusals are ignored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.client.checks import between
from harness.client.types import Outcome, Sample

WINDOW_S = 1.0
WINDOW_SAMPLES = 10
LONG_WINDOWS, WARM_UP = 600, 10
TOLERANCE, HEADROOM, SMOOTHING = 1.5, 4, 0.2


@dataclass
class Gradient2:
    """Follows the ratio of the long-term to the present latency, plus room for a small queue (a known baseline).

    Args:
        initial: Attempts in flight at the start. Default 20.
        minimum: Lower bound of the limit, in attempts. Default 20.
        maximum: Upper bound of the limit, in attempts. Default 200.
    """

    initial: int = 20
    minimum: int = 20
    maximum: int = 200

    def __post_init__(self) -> None:
        between(self, 1, 1_000_000, "initial", "minimum", "maximum")
        self._limit = float(min(self.initial, self.maximum))
        self._long_s = 0.0
        self._windows = 0
        self._begun = -math.inf
        self._count = self._peak = 0  # of this window
        self._total_s = 0.0

    @property
    def value(self) -> int:
        """Attempts allowed in flight, now."""
        return int(self._limit)

    def update(self, sample: Sample, /) -> None:
        """Learn from one attempt."""
        if sample.outcome is not Outcome.ok:
            return
        if self._begun == -math.inf:
            self._begun = sample.done
        self._count += 1
        self._total_s += sample.latency_s
        self._peak = max(self._peak, sample.in_flight)
        if sample.done - self._begun >= WINDOW_S and self._count >= WINDOW_SAMPLES:
            self._window(self._total_s / self._count)
            self._begun = sample.done
            self._clear()

    def _window(self, short_s: float) -> None:
        self._windows += 1
        if self._windows <= WARM_UP:
            self._long_s += (short_s - self._long_s) / self._windows
        else:
            self._long_s += (short_s - self._long_s) * 2 / (LONG_WINDOWS + 1)
        if self._long_s > 2 * short_s:
            self._long_s *= 0.95
        if self._peak < self._limit / 2:
            return
        gradient = max(0.5, min(1.0, TOLERANCE * self._long_s / max(short_s, 1e-9)))
        wanted = (1 - SMOOTHING) * self._limit + SMOOTHING * (gradient * self._limit + HEADROOM)
        self._limit = max(float(min(self.minimum, self.maximum)), min(float(self.maximum), wanted))

    def _clear(self) -> None:
        self._count = self._peak = 0
        self._total_s = 0.0

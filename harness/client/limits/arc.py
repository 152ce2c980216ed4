"""Vector's adaptive request concurrency: one more a round trip, nine tenths when latency leaves its moving average.

Source: Vector, src/sinks/util/adaptive_concurrency/controller.rs, at its defaults. Kept as a baseline: a moving average
mistakes a queue that grows slowly for the base latency, and one more a round trip is slow to reach a large limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.client.checks import between
from harness.client.types import Sample, Signal

BACKOFF, SMOOTHING, DEVIATIONS = 0.9, 0.4, 2.5


@dataclass
class Arc:
    """One more a round trip while latency keeps to its moving average, nine tenths when not (a known baseline).

    Args:
        initial: Attempts in flight at the start. Default 1.
        maximum: Upper bound of the limit, in attempts. Default 200.
    """

    initial: int = 1
    maximum: int = 200

    def __post_init__(self) -> None:
        between(self, 1, 1_000_000, "initial", "maximum")
        self._value = min(self.initial, self.maximum)
        self._mean_s = math.nan
        self._variance = 0.0
        self._next = -math.inf
        self._count = 0  # of this interval
        self._total_s = 0.0
        self._pressure = self._used = False

    @property
    def value(self) -> int:
        """Attempts allowed in flight, now."""
        return self._value

    def update(self, sample: Sample, /) -> None:
        """Learn from one attempt."""
        signal = sample.signal
        if signal is Signal.ignored:
            return
        self._used = self._used or sample.in_flight >= self._value
        if signal is Signal.overload:
            self._pressure = True
        else:
            self._count += 1
            self._total_s += sample.latency_s
        if sample.done >= self._next and (self._count or self._pressure):
            self._judge(sample.done)

    def _judge(self, now: float) -> None:
        present_s = self._total_s / self._count if self._count else math.nan
        if math.isnan(self._mean_s):
            self._mean_s = present_s
        else:
            threshold_s = self._mean_s + DEVIATIONS * math.sqrt(self._variance)
            if self._pressure or present_s >= threshold_s > self._mean_s:
                self._value = max(1, math.floor(BACKOFF * self._value))
            elif self._used and self._count and present_s <= self._mean_s + 1e-12:
                self._value = min(self.maximum, self._value + 1)
            if self._count:
                off = present_s - self._mean_s
                self._mean_s += SMOOTHING * off
                self._variance = (1 - SMOOTHING) * (self._variance + SMOOTHING * off * off)
        self._next = now + (0.0 if math.isnan(self._mean_s) else self._mean_s)
        self._clear()

    def _clear(self) -> None:
        self._count = 0
        self._total_s = 0.0
        self._pressure = self._used = False

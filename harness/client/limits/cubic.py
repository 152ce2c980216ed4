"""AWS's adaptive retry mode: CUBIC on the rate of sending, which only refusals lower.

Source: botocore.retries.adaptive. A limit is a number in flight here, so the allowed rate becomes one by Little's law:
rate x mean latency, rounded up. Kept as a baseline: without refusals it never bounds anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.client.checks import between
from harness.client.types import Outcome, Sample, Signal

SCALE, BETA = 0.4, 0.7
BUCKET_S, SMOOTHING = 0.5, 0.8


@dataclass
class Cubic:
    """The rate of sending grows as a cubic since the last refusal, which leaves 0.7 of it (a known baseline).

    Args:
        maximum: Upper bound of the limit, in attempts. Default 256.
    """

    maximum: int = 256

    def __post_init__(self) -> None:
        between(self, 1, 1_000_000, "maximum")
        self._rate = math.inf  # none until the first refusal
        self._most = 0.0
        self._failed_at = 0.0
        self._measured = 0.0
        self._bucket = -math.inf
        self._sent = 0
        self._latency_s = 0.0

    @property
    def value(self) -> int:
        """Attempts allowed in flight, now."""
        if not math.isfinite(self._rate):
            return self.maximum
        return max(1, min(self.maximum, math.ceil(self._rate * self._latency_s)))

    def update(self, sample: Sample, /) -> None:
        """Learn from one attempt."""
        if sample.signal is Signal.ignored:
            return
        now = sample.done
        self._measure(now)
        if sample.outcome is Outcome.ok:
            off = sample.latency_s - self._latency_s
            self._latency_s += off if self._latency_s == 0 else 0.05 * off
            if math.isfinite(self._rate):
                recover_s = (self._most * (1 - BETA) / SCALE) ** (1 / 3)
                grown = SCALE * (now - self._failed_at - recover_s) ** 3 + self._most
                self._rate = max(0.5, min(grown, 2 * self._measured))
        elif sample.outcome is Outcome.rejected:
            self._most = min(self._measured, self._rate)
            self._failed_at = now
            self._rate = max(0.5, BETA * self._most)

    def _measure(self, now: float) -> None:
        self._sent += 1
        bucket = math.floor(now / BUCKET_S) * BUCKET_S
        if bucket > self._bucket:
            if math.isfinite(self._bucket):
                rate = self._sent / (bucket - self._bucket)
                self._measured = SMOOTHING * rate + (1 - SMOOTHING) * self._measured
            self._sent, self._bucket = 0, bucket

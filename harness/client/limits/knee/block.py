"""One measurement at one limit: the mean latency of an attempt and its standard error; pure.

Rules of this file
  1. While the limit is used in full, in flight = throughput x latency (Little's law). So the number of responses in a
     time gives the mean latency, without the bias of averaging only those that have returned, the fast ones first.
  2. If latencies hardly vary, responses come in groups, and their number depends on where the block is cut. Then, and
     only then, the latencies themselves are averaged.
  3. The doubling start does not wait until attempts of the last limit have ended. The time that attempts of this limit
     have spent in flight, unfinished ones included, is divided by the number that is done. That is exact from the start
     if service times are memoryless, and close enough if not.
  4. A response counts by its size, so that long requests do not look like a slow server. Attempts that are not ok do
     not count, and their time in flight is taken out; errors of the server keep theirs, as work without a result.
"""

from __future__ import annotations

import math

from harness.client.types import Outcome, Sample

# Coefficient of variation up to which latencies are averaged; the second is for the start.
EVEN, EVEN_AT_ONCE = 0.4, 0.1
# Assumed in the start, where few samples seldom include the long ones.
VARIATION_MIN = 0.8
# Also if nothing is left of a latency without the client's own lateness.
LATENCY_MIN_S = 1e-6
# The least relative standard error of a measurement.
NOISE_MIN = 0.02
# Beyond it a measurement says nothing.
NOISE_MAX = 10.0


class Block:
    """A measurement in progress; `add` returns True when there are enough responses."""

    __slots__ = (
        "_begun",
        "_check",
        "_in_vain_s",
        "_old",
        "_old_s",
        "_since",
        "_squares",
        "_sum_s",
        "_value",
        "_wash",
        "_work",
        "peak",
        "seen",
        "timed",
    )

    def __init__(self, value: int, least: int, wash: int = 0, since: float = math.nan) -> None:
        self._value = value
        self._wash = wash  # responses of this limit to pass before it begins
        self._since = since
        self._check = value * math.ceil(least / value)  # whole rounds
        self._begun = math.nan  # in the start: when the limit changed
        self._old = 0  # admitted before that and still in flight
        self._old_s = 0.0  # how long those that are back were since
        self.seen = 0  # responses
        self.timed = 0  # responses to attempts admitted under this limit
        self.peak = 0  # most in flight
        self._work = self._sum_s = self._squares = self._in_vain_s = 0.0

    @classmethod
    def at_once(cls, value: int, least: int, begun: float, old: int) -> Block:
        """A block of the start, which begins at once.

        `old` attempts of the last limit were in flight at `begun`; NaN: it begins with the first attempt.
        """
        block = cls(value, least, since=begun)
        block._check = max(least, value)
        block._begun, block._old = begun, old
        if math.isnan(begun):
            block._old = -1
        return block

    def add(self, sample: Sample, current: bool) -> bool:
        """Count an attempt that ended; `current` if it was admitted under this limit. True when there is enough."""
        latency_s = sample.latency_s
        if self._old < 0:
            self._begun, self._since, self._old = sample.sent, sample.sent, 0
        if current:
            self.peak = max(self.peak, sample.in_flight)
        elif self._old:
            self._old -= 1
            self._old_s += sample.done - self._begun
        if self._wash > 0:
            self._wash -= current
            self._since = sample.done
            return False
        if sample.outcome is not Outcome.ok:
            if sample.outcome is not Outcome.server_error:
                self._in_vain_s += min(latency_s, sample.done - self._since)
            return False
        self.seen += 1
        if current:
            self.timed += 1
            self._work += sample.work
            relative_s = latency_s / sample.work
            self._sum_s += relative_s
            self._squares += relative_s * relative_s
        elif math.isnan(self._begun):
            self._work += sample.work
        return (self.seen if math.isnan(self._begun) else self.timed) >= self._check

    def measured(self, now: float) -> tuple[float, float]:
        """Mean latency in seconds and its relative standard error; some responses were counted."""
        mean_s, noise = self._measured(now)
        return mean_s, min(NOISE_MAX, noise)

    def _measured(self, now: float) -> tuple[float, float]:
        mean_s = self._sum_s / max(1, self.timed)
        variation = self.variation
        if self.timed and variation < (EVEN if math.isnan(self._begun) else EVEN_AT_ONCE):
            return max(LATENCY_MIN_S, mean_s), max(NOISE_MIN, variation / math.sqrt(self.timed))
        if math.isnan(self._begun):
            spent_s = self._value * (now - self._since) - self._in_vain_s
            return max(LATENCY_MIN_S, spent_s / max(self._work, 1e-9)), max(NOISE_MIN, variation / math.sqrt(self.seen))
        spent_s = (self._value - self._old) * (now - self._begun) - self._old_s - self._in_vain_s
        return max(LATENCY_MIN_S, spent_s / max(self._work, 1e-9)), max(variation, VARIATION_MIN) / math.sqrt(
            max(1, self.timed)
        )

    @property
    def variation(self) -> float:
        """Coefficient of variation of the latencies."""
        if not self.timed:
            return 1.0
        mean_s = self._sum_s / self.timed
        return math.sqrt(max(0.0, self._squares / self.timed - mean_s * mean_s)) / max(mean_s, 1e-9)

    def extend(self, least: int = 0) -> None:
        """Collect more responses: at least `least`, by default 40 % more."""
        rounds = self._check // self._value
        further = self._value * max(rounds + 1, math.floor(1.4 * self._check / self._value))
        self._check = max(least, self._check + 1) if least else further

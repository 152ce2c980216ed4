"""One measurement at one limit: the mean latency of an attempt, and how sure it is; pure.

Rules of this file
  1. While the limit is used, in flight = throughput x latency (Little). Counting answers over a time therefore gives
     the mean latency, and gives it without the bias of averaging those that came back so far, the quick ones first.
  2. Where latencies hardly vary, answers come in clumps, and the count depends on where it is cut. There, and only
     there, the latencies themselves are averaged.
  3. In the doubling start there is no time to wait until what was before has washed out. What attempts of this limit
     have been in flight, those still under way included, is divided by how many are done: right from the first moment
     on where service is memoryless, and near enough where not.
  4. An answer counts by its work, so that long requests do not look like a slow server. What is not ok is no answer:
     its time in flight is taken out, unless it is the server's error, which is a share of its work that was in vain.
"""

from __future__ import annotations

import math

from harness.client.types import Outcome, Sample

EVEN, EVEN_AT_ONCE = 0.4, 0.1  # coefficient of variation up to which latencies are averaged; in the start
VARIATION_MIN = 0.8  # where there are few samples, which seldom hold the long ones
LATENCY_MIN_S = 1e-6  # also where the client's own lateness, taken out, leaves nothing
NOISE_MIN = 0.02  # no measurement is better, as a share


class Block:
    """A measurement; `add` says when it is time to look at it."""

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
        self._wash = wash  # answers of this limit before it begins
        self._since = since
        self._check = value * math.ceil(least / value)  # whole rounds
        self._begun = math.nan  # in the start: when the limit changed
        self._old = 0  # admitted before that and still in flight
        self._old_s = 0.0  # how long those that are back were since
        self.seen = 0  # answers
        self.timed = 0  # of them, admitted under this limit
        self.peak = 0  # most in flight
        self._work = self._sum_s = self._squares = self._in_vain_s = 0.0

    @classmethod
    def at_once(cls, value: int, least: int, begun: float, old: int) -> Block:
        """Of the start, without washing out; `old` were in flight at `begun`, NaN: with the first attempt."""
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
        """Mean latency in seconds, and its standard error as a share of it; some were counted."""
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

    def go_on(self, least: int = 0) -> None:
        """It is not enough yet: look again later, by default after four tenths more."""
        rounds = self._check // self._value
        further = self._value * max(rounds + 1, math.floor(1.4 * self._check / self._value))
        self._check = max(least, self._check + 1) if least else further

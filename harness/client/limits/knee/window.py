"""One measurement at one limit: the quantiles of latency and the number in flight over throughput; pure.

Rules of this file
  1. A window counts answers in the order of their end, under a limit that hardly changes. A stretch of time that begins
     after a change has passed holds all latencies in their true proportions.
  2. The mean latency is the time in flight over the number of answers (Little's law), without the time of attempts that
     came to nothing. If latencies hardly vary, answers come in groups, and the latencies are averaged instead.
  3. A latency is divided by the relative size of the attempt, so that long requests do not look like a slow server.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from harness.client.limits.knee.quantiles import Quantiles, quantiles
from harness.client.types import Outcome, Sample

# Answers in a window, and in one that lasts long: so many mean latencies.
ANSWERS, ANSWERS_MIN, LATENCIES = 32, 8, 3.0
# Share of the limit that must have answered.
SHARE = 0.5
# Coefficient of variation up to which latencies are averaged.
EVEN = 0.4
# Share of the limit that must have been in flight once.
USED = 0.9
# Also if nothing is left of a latency without the client's own lateness.
LATENCY_MIN_S = 1e-6

_OK = Outcome.ok


class WindowResult(msgspec.Struct, frozen=True):
    """The result of a window."""

    value: int
    latency_s: float
    quantiles: Quantiles


class Window:
    """A measurement in progress, from `begins` on."""

    __slots__ = ("_in_vain_s", "_latencies_s", "_work", "begins", "peak", "value")

    def __init__(self, value: int, begins: float) -> None:
        self.value, self.begins = value, begins
        # Most in flight.
        self.peak = 0
        self._latencies_s: list[float] = []
        self._work = self._in_vain_s = 0.0

    @property
    def count(self) -> int:
        """Answers so far."""
        return len(self._latencies_s)

    @property
    def used(self) -> bool:
        """Whether the application used the limit."""
        return self.peak >= USED * self.value

    @property
    def latencies_s(self) -> list[float]:
        """Latencies of attempts of average size."""
        return self._latencies_s

    def add(self, sample: Sample) -> None:
        """Count an attempt that ended."""
        if sample.done < self.begins:
            return
        if sample.outcome is _OK:
            # Once for each answer, so without calls that it can do without.
            if sample.in_flight > self.peak:  # noqa: PLR1730 - a call of max costs three times as much
                self.peak = sample.in_flight
            latency_s = sample.done - sample.sent - sample.lag_s
            work = sample.work
            self._latencies_s.append((latency_s if latency_s > LATENCY_MIN_S else LATENCY_MIN_S) / work)
            self._work += work
        elif sample.outcome is not Outcome.server_error:
            self._in_vain_s += min(sample.latency_s, sample.done - self.begins)

    def extend(self, samples: Sequence[Sample]) -> None:
        """Count attempts that succeeded, as `add` does one after another."""
        begins = self.begins
        samples = [sample for sample in samples if not sample.done < begins]
        latencies_s = [(sample.done - sample.sent - sample.lag_s) / sample.work for sample in samples]
        if latencies_s and min(latencies_s) <= LATENCY_MIN_S:
            latencies_s = [max(LATENCY_MIN_S, sample.latency_s) / sample.work for sample in samples]
        self._latencies_s += latencies_s
        self._work = sum([sample.work for sample in samples], self._work)
        self.peak = max([self.peak, *[sample.in_flight for sample in samples]])

    def not_full_until(self, now: float, latency_s: float) -> tuple[float, float]:
        """Until when `full` is false from `now` on, as long as fewer answers come than the second figure."""
        if now < self.begins + latency_s:
            return self.begins + latency_s, math.inf
        missing = max(ANSWERS, math.ceil(SHARE * self.value)) - len(self._latencies_s)
        return self.begins + LATENCIES * latency_s, missing

    def full(self, now: float, latency_s: float) -> bool:
        """Whether there are enough answers, where an attempt takes about `latency_s`."""
        count = len(self._latencies_s)
        if count < ANSWERS_MIN:
            return False
        lasted_s = now - self.begins
        if lasted_s < latency_s:
            return False
        return (count >= ANSWERS and count >= SHARE * self.value) or lasted_s >= LATENCIES * latency_s

    def measured(self, now: float) -> WindowResult:
        """The result; some answers were counted."""
        latencies_s = self._latencies_s
        mean_s = sum(latencies_s) / len(latencies_s)
        squares = sum([latency_s * latency_s for latency_s in latencies_s]) / len(latencies_s)
        if squares - mean_s * mean_s >= (EVEN * mean_s) ** 2:
            spent_s = self.value * (now - self.begins) - self._in_vain_s
            mean_s = max(LATENCY_MIN_S, spent_s / max(self._work, 1e-9))
        return WindowResult(self.value, mean_s, quantiles(latencies_s))

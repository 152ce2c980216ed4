"""A server that accepts nothing: keep the limit, probe at growing intervals, and go on as before; pure.

Rules of this file
  1. Nothing is accepted when the last failures follow one another and no older attempt is under way (`Sample.streak`).
     That is an outage or a spent quota, and says nothing about the number in flight that the server can take.
  2. The first failures look like a server that is full, and the limit reacts to them. So its state of before the first
     failure is kept, and restored when the server accepts an attempt again.
  3. A probe goes first after 0.1 s; each that fails makes the next interval longer, up to 2 s, or Retry-After.
  4. Outages that follow each other closely are a quota for a period. Attempts are then paced at the rate that was
     accepted over whole periods, outages included.
"""

from __future__ import annotations

import math

from harness.client.types import Sample

# Failures in a row that are no accident, where failures are rare.
LEAST = 3
PROBE_FIRST_S, PROBE_GROWTH, PROBE_MAX_S = 0.1, 1.5, 2.0
HINT_MAX_S = 60.0
# Outages belong to one quota if no more lies between two of them than this multiple of the outage, or these seconds.
BETWEEN, BETWEEN_MIN_S = 2.0, 1.0
PERIODS_OF_A_QUOTA = 3
# With fewer successes a period has shown its probe and no quota.
PERIOD_MIN = 2


class Outage:
    """The present outage, and those before it that may be the periods of a quota."""

    def __init__(self) -> None:
        # Attempts may start once in this time; 0: no outage.
        self.interval_s = 0.0
        self._begun = self._ended = -math.inf
        # Successes since the end of the last outage; the caller counts them.
        self.count = 0
        # Successes in whole periods.
        self._in_periods = 0
        self._periods = 0
        self._first_ended = -math.inf

    @property
    def active(self) -> bool:
        """Whether the server accepts nothing now."""
        return self.interval_s > 0.0

    def failed(self, sample: Sample, least: int = LEAST) -> bool:
        """An attempt failed. True if the interval changed: an outage of `least` failures begins, or a probe failed."""
        if not self.active:
            if sample.streak < least:
                return False
            self._begun = sample.done
            self.interval_s = PROBE_FIRST_S
        elif sample.sent <= self._begun:
            return False
        else:
            self.interval_s = min(PROBE_MAX_S, PROBE_GROWTH * self.interval_s)
        self.interval_s = max(self.interval_s, min(HINT_MAX_S, sample.retry_after_s or 0.0))
        return True

    def quota_per_s(self) -> float:
        """The rate that the server accepts over whole periods; infinite unless outages recur like those of a quota."""
        if self._periods < PERIODS_OF_A_QUOTA:
            return math.inf
        return self._in_periods / (self._ended - self._first_ended)

    def forget_periods(self) -> None:
        """Another regime begins."""
        self._periods = 0

    def end(self, now: float) -> None:
        """An attempt is accepted: the outage is over, and so is the period from the end of the last one to now."""
        between_s, lasted_s = self._begun - self._ended, now - self._begun
        if self.count >= PERIOD_MIN and between_s <= max(BETWEEN_MIN_S, BETWEEN * lasted_s):
            if not self._periods:
                self._first_ended, self._in_periods = self._ended, 0
            self._periods += 1
            self._in_periods += self.count
        else:
            self._periods = 0
        self.interval_s = 0.0
        self._ended, self.count = now, 1

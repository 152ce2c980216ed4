"""A server that accepts nothing: keep the limit, probe at growing intervals, and go on as before; pure.

Rules of this file
  1. Nothing is accepted when the last failures follow one another and no older attempt is under way (`Sample.streak`),
     or when the places of older attempts that ended are not given to new ones (search.py). That is an outage or a spent
     quota, and says nothing about the number in flight that the server can take.
  2. The first failures look like a server that is full, and the limit reacts to them. So its state of before the first
     failure is kept, and restored when the server accepts an attempt again.
  3. A probe goes first after 0.1 s; each that fails makes the next interval longer, up to 1 s, or Retry-After.
  4. Outages that follow each other closely and evenly are a quota for a period. Attempts are then paced at the rate
     that was accepted over whole periods, outages included.
  5. A pace that is a little too high ends in a short outage. If that ends with the period, it corrects the pace.
"""

from __future__ import annotations

import math
from collections import deque

from harness.client.types import Sample

# Failures in a row that are no accident, where failures are rare.
LEAST = 3
PROBE_FIRST_S, PROBE_GROWTH, PROBE_MAX_S = 0.1, 1.25, 1.0
HINT_MAX_S = 60.0
# Outages belong to one quota if no more lies between two of them than this multiple of the outage, or these seconds.
BETWEEN, BETWEEN_MIN_S = 2.0, 1.0
PERIODS_OF_A_QUOTA = 3
# Share of a period by which the end of an outage may differ from it, as a probe finds it late.
OFF_MAX = 0.25
# With fewer successes a period has shown its probe and no quota.
PERIOD_MIN = 2


class Outage:
    """The present outage, and those before it that may be the periods of a quota."""

    def __init__(self) -> None:
        # Attempts may start once in this time; 0: no outage.
        self.interval_s = 0.0
        self._begun = self._ended = -math.inf
        # Successes after the one that ended the last outage; the caller counts them, that which ends this one too.
        self.count = 0
        # Outages in a row that may be those of one quota, until its period is known: the time and the successes since
        # the end of the one before.
        self._periods: deque[tuple[float, int]] = deque(maxlen=PERIODS_OF_A_QUOTA)
        # The length of a period; infinite: not known.
        self.period_s = math.inf
        # How long the last outage lasted, and what was accepted over whole periods.
        self._lasted_s = self._accepted_per_s = 0.0

    @property
    def active(self) -> bool:
        """Whether the server accepts nothing now."""
        return self.interval_s > 0.0

    def failed(self, sample: Sample, least: int = LEAST, certain: bool = False) -> bool:
        """An attempt failed. True if the interval changed: an outage begins, or a probe failed.

        It begins with `least` failures in a row, or when it is `certain` that nothing is accepted.
        """
        if not self.active:
            if sample.streak < least and not certain:
                return False
            self._begun = sample.done
            self.interval_s = PROBE_FIRST_S
        elif sample.sent <= self._begun:
            return False
        else:
            self.interval_s = min(PROBE_MAX_S, PROBE_GROWTH * self.interval_s)
        self.interval_s = max(self.interval_s, min(HINT_MAX_S, sample.retry_after_s or 0.0))
        return True

    def quota_per_s(self, pace_per_s: float) -> float:
        """The rate that the server accepts over whole periods, at most the pace; infinite if no quota is known."""
        if self.period_s == math.inf:
            return math.inf
        if pace_per_s == math.inf:
            return self._accepted_per_s
        # The quota lasted until the outage. Periods that were not spent may lie before that, so less was accepted.
        return min(pace_per_s, max(self._accepted_per_s, pace_per_s * (1.0 - self._lasted_s / self.period_s)))

    def end(self, now: float) -> None:
        """An attempt is accepted: the outage is over. If it was a spent quota, a period is over, too."""
        between_s, self._lasted_s, whole_s = self._begun - self._ended, now - self._begun, now - self._ended
        if self.count < PERIOD_MIN or not self._recurs(between_s):
            self._periods.clear()
            self.period_s = math.inf
        else:
            self._accepted_per_s = self.count / whole_s
            if self.period_s == math.inf:
                self._periods.append((whole_s, self.count))
                self._learn_period()
        self.interval_s = 0.0
        self._ended, self.count = now, 0

    def _learn_period(self) -> None:
        seconds = [whole_s for whole_s, _ in self._periods]
        if len(seconds) == PERIODS_OF_A_QUOTA and (1.0 - OFF_MAX) * max(seconds) <= (1.0 + OFF_MAX) * min(seconds):
            self.period_s = sum(seconds) / PERIODS_OF_A_QUOTA
            self._accepted_per_s = sum(count for _, count in self._periods) / sum(seconds)

    def _recurs(self, between_s: float) -> bool:
        """Whether the outage belongs to a quota: it follows the last one closely, or ends with the quota's period."""
        if self.period_s == math.inf:
            return between_s <= max(BETWEEN_MIN_S, BETWEEN * self._lasted_s)
        periods = (between_s + self._lasted_s) / self.period_s
        return abs(periods - max(1, round(periods))) <= OFF_MAX

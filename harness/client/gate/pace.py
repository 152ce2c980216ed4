"""Starts at a rate that may change at any time; pure.

Rules of this file
  1. It is the generic cell rate algorithm (ITU-T I.371) with a tolerance in seconds: a start that is up to
     `TOLERANCE_S` late is made up for, so that late timers do not lower the rate. In any window of T seconds at most
     1 + rate x (T + TOLERANCE_S) attempts start.
  2. When the rate changes, what was started ahead is kept in starts, not in seconds: ten starts ahead are ten at the
     new rate.
  3. A rate begins without credit: attempts start evenly from the first one on.
"""

from __future__ import annotations

import math

TOLERANCE_S = 0.02
# One start in a quarter of an hour: a limit with a lower rate, or nonsense, cannot stop the client for good.
RATE_MIN = 1e-3


class Pace:
    """When the next attempt may start at `rate_per_s`; infinity means at once."""

    __slots__ = ("_interval_s", "_next")

    def __init__(self, rate_per_s: float = math.inf, now: float = -math.inf) -> None:
        self._interval_s = 0.0
        # When the next start is due by the rate; it may come a tolerance earlier.
        self._next = -math.inf
        self.change(rate_per_s, now)

    def change(self, rate_per_s: float, now: float) -> None:
        """Use another rate from now on."""
        before_s = self._interval_s
        self._interval_s = after_s = 1.0 / max(RATE_MIN, rate_per_s)
        if not after_s:
            self._next = -math.inf
        elif not before_s:
            self._next = now + TOLERANCE_S
        elif (ahead_s := self._next - TOLERANCE_S - now) > 0.0:
            self._next = now + TOLERANCE_S + ahead_s / before_s * after_s

    def earliest(self, now: float, ahead: int = 0) -> float:
        """When an attempt could start that has `ahead` others before it; takes nothing."""
        start = self._next - TOLERANCE_S + ahead * self._interval_s
        return start if start > now else now

    def take(self, now: float) -> None:
        """An attempt starts."""
        self._next = (self._next if self._next > now else now) + self._interval_s

    def give_back(self) -> None:
        """An attempt did not start after all."""
        self._next -= self._interval_s

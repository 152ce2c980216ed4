"""Starts at a rate that may change at any time; pure.

Rules of this file
  1. It is the generic cell rate algorithm (ITU-T I.371) with a tolerance in seconds: what starts up to `TOLERANCE_S`
     late is made up for, so that late timers do not lower the rate; in any window of T seconds at most
     1 + rate x (T + TOLERANCE_S) start.
  2. When the rate changes, what is owed is kept in starts, not in seconds: ten starts ahead are ten at the new rate.
  3. A rate that begins does so with nothing saved up: evenly from the first start on.
"""

from __future__ import annotations

import math

TOLERANCE_S = 0.02
RATE_MIN = 1e-3  # a start in a quarter of an hour: a limit that says less, or nonsense, cannot stop the client for good


class Pace:
    """When the next may start at `rate_per_s`; infinite means at once."""

    __slots__ = ("_interval_s", "_next")

    def __init__(self, rate_per_s: float = math.inf, now: float = -math.inf) -> None:
        self._interval_s = 0.0
        self._next = -math.inf  # when the next is due by the rate; it may start a tolerance earlier
        self.change(rate_per_s, now)

    def change(self, rate_per_s: float, now: float) -> None:
        """Another rate from now on."""
        before_s = self._interval_s
        self._interval_s = after_s = 1.0 / max(RATE_MIN, rate_per_s)
        if not after_s:
            self._next = -math.inf
        elif not before_s:
            self._next = now + TOLERANCE_S
        elif (ahead_s := self._next - TOLERANCE_S - now) > 0.0:
            self._next = now + TOLERANCE_S + ahead_s / before_s * after_s

    def earliest(self, now: float, ahead: int = 0) -> float:
        """When one could start that has so many before it; nothing is taken."""
        start = self._next - TOLERANCE_S + ahead * self._interval_s
        return start if start > now else now

    def take(self, now: float) -> None:
        """One starts."""
        self._next = (self._next if self._next > now else now) + self._interval_s

    def give_back(self) -> None:
        """One that was to start did not."""
        self._next -= self._interval_s

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

from harness.base.gcra import Gcra

TOLERANCE_S = 0.02
RATE_MIN = 1e-3  # a start in a quarter of an hour: a limit that says less, or nonsense, cannot stop the client for good


class Pace(Gcra):
    """When the next may start at `rate_per_s`; infinite means at once."""

    __slots__ = ()

    def __init__(self, rate_per_s: float = math.inf, now: float = -math.inf) -> None:
        super().__init__(math.inf)
        self._tolerance_s = TOLERANCE_S
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

    def give_back(self) -> None:
        """One that was to start did not."""
        self._next -= self._interval_s

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

from harness.base.gcra import Gcra

TOLERANCE_S = 0.02
# One start in a quarter of an hour: a limit with a lower rate, or nonsense, cannot stop the client for good.
RATE_MIN = 1e-3


class Pace(Gcra):
    """When the next attempt may start at `rate_per_s`; infinity means at once."""

    __slots__ = ()

    def __init__(self, rate_per_s: float = math.inf, now: float = -math.inf) -> None:
        super().__init__(math.inf)
        self._tolerance_s = TOLERANCE_S
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

    def give_back(self) -> None:
        """An attempt did not start after all."""
        self._next -= self._interval_s

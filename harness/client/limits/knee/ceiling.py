"""Refusals: the limit at which they began, how long it is avoided, and whether the server limits a rate; pure.

Rules of this file
  1. A single refusal does not count, nor do several at the same instant: a burst met an empty bucket. Refusals count if
     they recur within two latencies, are at least three and 8 % of the limit, and a quarter of the attempts that ended
     meanwhile. A time-out need not recur, if others were answered meanwhile.
  2. The limit falls to the number in flight just before the refused attempt, because the server accepted that many.
  3. A refused limit is avoided for a while, longer each time, and at least for the server's Retry-After (30 s at most).
  4. Refused three times in a row, each time with fewer in flight: the server limits a rate (pacing.py).
"""

from __future__ import annotations

import math

from harness.client.types import Outcome, Sample

OVERLOAD = frozenset({Outcome.rejected, Outcome.timed_out, Outcome.connection_error})
# The least share of the limit that must be refused.
SHARE = 0.08
# Refusals that belong together: so many, and their share of the attempts that ended meanwhile. Attempts start up to
# 1.5 times as often as they end (BURST), so a server that is full refuses a third of them.
LEAST, OFTEN = 3, 0.25
# In latencies: refusals within the first belong together; those closer than the second count as one.
WITHIN, APART = 2.0, 0.1
# How long a refused limit is avoided: it grows before each use, so the first time is the product of the first two.
HOLD_S, HOLD_GROWTH, HOLD_MAX_S = 2.0, 1.7, 30.0
CUTS_OF_A_RATE = 3
# The multiple of the limit that may be tried until it has passed; it has, after so many times of a refusal.
BEYOND, TIMES = 1.1, 1.5


class Ceiling:
    """The limit at which refusals began."""

    def __init__(self) -> None:
        self.at = math.inf
        self.met = False  # ever
        self._until = 0.0
        self._hold_s = HOLD_S
        self._cut_at = -math.inf
        self._cut_to = 0
        # Cuts in a row, each at fewer in flight.
        self.row = 0
        # The limit before the first of the cuts in a row.
        self.cut_from = 1
        self._first_at = self._last_at = -math.inf
        # Of the refusals that belong together: instants, number, and the successes before the first.
        self._apart = self._together = self._first_ok = 0
        self._count = 0
        self._least = 0  # in flight, of the refused: the fewest
        self._hint_s = 0.0
        # How long the refused took; a time-out takes long.
        self._takes_s = 0.0
        self._passing_since = math.nan

    def clear(self) -> None:
        """A new block begins."""
        self._count = 0
        self._least = 0

    def refused(self, sample: Sample, value: int, latency_s: float, ok: int, alone: bool = False) -> bool:
        """Count a refusal under the present limit, after `ok` successes; True if the limit should fall.

        `alone`: others were answered all the time that it took, so it need not recur.
        """
        now = sample.done
        if now - self._first_at > WITHIN * latency_s or ok < self._first_ok:
            self._first_at = self._last_at = now
            self._apart, self._together, self._first_ok = 1, 0, ok
        elif now - self._last_at >= APART * latency_s:
            self._last_at = now
            self._apart += 1
        self._count += 1
        self._together += 1
        self._least = min(self._least or sample.in_flight, sample.in_flight)
        self._hint_s = sample.retry_after_s or 0.0
        self._takes_s = sample.latency_s
        recurs = self._apart > 1 and self._together >= max(LEAST, OFTEN * (self._together + ok - self._first_ok))
        return (alone or recurs) and self._count >= max(2, SHARE * value) and now > self._cut_at + latency_s

    def cut(self, value: int, now: float) -> int:
        """The limit to fall to; 0 if that was done often enough, so that the server limits a rate."""
        self.met = True
        self.row = self.row + 1 if value <= max(1, self._cut_to) else 1
        if self.row == 1:
            self.cut_from = value
        self._cut_at = now
        if self.row >= CUTS_OF_A_RATE:
            self.row = 0
            return 0
        accepted = max(1, self._least - 1)
        self.at = min(value, accepted + 1)
        if now > self._until:
            self._hold_s = min(HOLD_MAX_S, HOLD_GROWTH * self._hold_s)
        self._until = now + max(self._hold_s, min(self._hint_s, HOLD_MAX_S))
        self._cut_to = min(accepted, value - 1)
        return max(1, self._cut_to)

    def holds(self, now: float) -> bool:
        """Whether a higher limit would probably be refused."""
        return now < self._until

    def top(self, now: float) -> float:
        """The highest limit that may be tried."""
        if now < self._until:
            return self.at - 1
        return math.inf if self.at == math.inf else max(self.at + 1, BEYOND * self.at)

    def passed(self, value: int, now: float) -> None:
        """A block at this limit ended without counted refusals. They had the time to come, or it waits for them."""
        if now < self._until or value < self.at:
            self._passing_since = math.nan
            return
        if math.isnan(self._passing_since):
            self._passing_since = now
        if now - self._passing_since >= TIMES * self._takes_s - 0.1:
            self.lift()

    def lift(self) -> None:
        """Forget the ceiling."""
        self.at, self._until, self._hold_s = math.inf, 0.0, HOLD_S

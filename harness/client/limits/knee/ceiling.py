"""Refusals: the limit at which they began, how long it is avoided, and whether the server limits a rate; pure.

Rules of this file
  1. A single refusal does not count, nor do several at the same instant: a burst met an empty bucket. Refusals count if
     they recur within two latencies and are at least two and 8 % of the limit.
  2. The limit falls to the number in flight just before the refused attempt, because the server accepted that many.
  3. A refused limit is avoided for a while, longer each time, and at least for the server's Retry-After.
  4. Refused three times in a row, each time with fewer in flight: the server limits a rate (pacing.py).
"""

from __future__ import annotations

import math

from harness.client.types import Outcome, Sample

OVERLOAD = frozenset({Outcome.rejected, Outcome.timed_out, Outcome.connection_error})
# The least share of the limit that must be refused.
SHARE = 0.08
# In latencies: refusals within the first belong together; those closer than the second count as one.
WITHIN, APART = 2.0, 0.1
HOLD_S, HOLD_GROWTH, HOLD_MAX_S = 2.0, 1.7, 30.0
CUTS_OF_A_RATE = 3


class Ceiling:
    """The limit at which refusals began."""

    def __init__(self) -> None:
        self.at = math.inf
        self.met = False  # ever
        self._until = 0.0
        self._hold_s = HOLD_S
        self._cut_at = -math.inf
        self._cut_to = 0
        self._cuts = 0
        # The limit before the first of the cuts in a row.
        self.cut_from = 1
        self._first_at = self._last_at = -math.inf
        self._apart = 0
        self._count = 0
        self._least = 0  # in flight, of the refused: the fewest
        self._hint_s = 0.0

    def clear(self) -> None:
        """A new block begins."""
        self._count = 0
        self._least = 0

    def refused(self, sample: Sample, value: int, latency_s: float) -> bool:
        """Count a refusal under the present limit; True if the limit should fall."""
        now = sample.done
        if now - self._first_at > WITHIN * latency_s:
            self._first_at = self._last_at = now
            self._apart = 1
        elif now - self._last_at >= APART * latency_s:
            self._last_at = now
            self._apart += 1
        self._count += 1
        self._least = min(self._least or sample.in_flight, sample.in_flight)
        self._hint_s = sample.retry_after_s or 0.0
        return self._apart > 1 and self._count >= max(2, SHARE * value) and now > self._cut_at + latency_s

    def cut(self, value: int, now: float) -> int:
        """The limit to fall to; 0 if that was done often enough, so that the server limits a rate."""
        self.met = True
        self._cuts = self._cuts + 1 if value <= max(1, self._cut_to) else 1
        if self._cuts == 1:
            self.cut_from = value
        self._cut_at = now
        if self._cuts >= CUTS_OF_A_RATE:
            self._cuts = 0
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
        return self.at - 1 if now < self._until else math.inf

    def passed(self, value: int, now: float) -> None:
        """A block at this limit ended without counted refusals."""
        if now >= self._until and value >= self.at:
            self.lift()

    def lift(self) -> None:
        """Forget the ceiling."""
        self.at, self._until, self._hold_s = math.inf, 0.0, HOLD_S

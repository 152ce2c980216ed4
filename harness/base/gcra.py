"""The generic cell rate algorithm (ITU-T I.371): a rate limit kept in one number; pure.

With `burst` 1 it is a leaky bucket: one after another, evenly. With more it is a token bucket of that capacity: in any
window of T seconds at most burst + rate x T pass. A tolerance in seconds is a burst of 1 + rate x tolerance. A cost
above the capacity waits until the bucket is full.
"""

from __future__ import annotations


class Gcra:
    """Computes when a given cost may pass, and records what passes. Units are requests, tokens or starts."""

    __slots__ = ("_burst", "_interval_s", "_next", "_tolerance_s")

    def __init__(self, rate_per_s: float, burst: float = 1.0) -> None:
        self._interval_s = 1.0 / rate_per_s
        self._burst = burst
        self._tolerance_s = (burst - 1.0) * self._interval_s
        # When the bucket is full again: the theoretical arrival time.
        self._next = float("-inf")

    def earliest(self, now: float, cost: float = 1.0, ahead: float = 0.0) -> float:
        """The earliest instant for a cost with `ahead` in line before it; records nothing."""
        more = (cost if cost < self._burst else self._burst) - 1.0
        start = self._next - self._tolerance_s + (ahead + more) * self._interval_s
        return start if start > now else now

    def passes(self, now: float) -> bool:
        """Take cost 1 now if that is allowed: `earliest` and `take` in one, for the hot path."""
        expected = self._next
        if expected - self._tolerance_s > now:
            return False
        self._next = (expected if expected > now else now) + self._interval_s
        return True

    def take(self, start: float, cost: float = 1.0) -> None:
        """Record a cost at `start` as `earliest` gave it, not when the timer fired: lateness must not add up."""
        self._next = (self._next if self._next > start else start) + cost * self._interval_s

    def correct(self, cost: float) -> None:
        """Correct a recorded cost by a difference, which may be negative."""
        self._next += cost * self._interval_s

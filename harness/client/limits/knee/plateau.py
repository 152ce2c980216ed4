"""Growth has to pay: the limit at which more attempts in flight gave no more answers, and how long it is avoided; pure.

Rules of this file
  1. A server whose service itself gets slower with every attempt (contention) shows no queue. So after growth by a
     quarter the rate of answers is compared with that before it.
  2. A comparison waits until both rates are known well enough. If growth did not pay, the limit returns, and stays for
     a while, longer each time.
  3. That growth pays never raises the limit: own throughput grows with the own share, at the cost of other clients.
"""

from __future__ import annotations

import math

from harness.client.limits.knee.window import WindowResult

# Growth that is judged, that waits for the judgement, and that belongs to the reference.
GROWN, WAITS, SAME = 1.25, 1.6, 1.1
# Growth of throughput over growth of the limit, both as logarithms, that pays; and the errors that are granted.
PAYS, ERRORS, SURELY = 0.2, 0.5, 0.6
# Answers that are pooled at most, and before a judgement.
POOLED, LEAST = 400, 48
# Standard error of the logarithm of a rate for one answer, for service times that vary as exponential ones do.
ERROR = 1.1
HOLD_S, HOLD_GROWTH, HOLD_MAX_S = 4.0, 2.0, 64.0


class Rate:
    """Answers per second at about one limit."""

    __slots__ = ("count", "limits", "seconds")

    def __init__(self) -> None:
        self.count = self.limits = self.seconds = 0.0

    def add(self, window: WindowResult) -> None:
        """Pool a window; old ones fade."""
        fades = min(1.0, POOLED / max(1.0, self.count + window.quantiles.count))
        count = float(window.quantiles.count)
        seconds = window.latency_s * count / window.value
        self.limits = fades * (self.limits + window.value * count)
        self.seconds = fades * (self.seconds + seconds)
        self.count = fades * (self.count + count)

    @property
    def limit(self) -> float:
        """The mean limit."""
        return self.limits / self.count

    @property
    def per_s(self) -> float:
        """The rate."""
        return self.count / self.seconds


class Plateau:
    """Rates before and after growth."""

    def __init__(self) -> None:
        self.at = math.inf
        self._until = 0.0
        self._hold_s = HOLD_S
        self._before, self._after = Rate(), Rate()

    def top(self, now: float) -> float:
        """The highest limit that may be tried."""
        return self.at if now < self._until else math.inf

    def waits(self, value: float) -> bool:
        """Whether growth has to wait until a rate is known: of the limit before growth, or after it."""
        before = self._before
        if not before.count or value <= SAME * before.limit:
            return before.count < LEAST
        return before.count >= LEAST and value >= WAITS * before.limit

    def add(self, window: WindowResult, now: float) -> float:
        """Take a window into account. The limit to return to, if growth did not pay; else 0."""
        before, after = self._before, self._after
        if not before.count or window.value <= SAME * before.limit:
            if before.count and window.value < before.limit / SAME:
                self._before = before = Rate()
            before.add(window)
            self._after = Rate()
            return 0.0
        after.add(window)
        if after.limit < GROWN * before.limit:
            return 0.0
        if before.count < LEAST:
            # Too little was known of the rate before, so it is not compared.
            self._before, self._after = after, Rate()
            return 0.0
        if after.count < LEAST:
            return 0.0
        grown = math.log(after.limit / before.limit)
        paid = math.log(after.per_s / before.per_s) / grown
        error = ERROR * math.sqrt(1 / before.count + 1 / after.count) / grown
        if paid < PAYS - ERRORS * error:
            return self._avoid(before.limit, now)
        if paid > min(SURELY, PAYS + ERRORS * error) or min(before.count, after.count) >= POOLED - 1:
            self._before, self._after = after, Rate()
            self._hold_s = HOLD_S
        return 0.0

    def _avoid(self, at: float, now: float) -> float:
        self.at = at
        self._hold_s = min(HOLD_MAX_S, HOLD_GROWTH * self._hold_s)
        self._until = now + self._hold_s
        self._after = Rate()
        return at

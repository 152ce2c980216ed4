"""Attempts that are timed out while the server answers others: how many are too many, and what they cost; pure.

Rules of this file
  1. Each holds a slot until it is timed out. While they are few, a lower limit would cost more answers than they do.
  2. They are too many beyond 2 % of the attempts, as with a pace, and beyond what may come together by chance.
  3. A server that leaves unanswered what is more than it can take shows that only after a time-out. So for some time
     there are no looks at more, and the limit grows by a quarter in the time of a time-out.
  4. Those that are under way now are about as many as were timed out in the last such time.
"""

from __future__ import annotations

import math
from collections import deque

from harness.client.limits.knee.pacing import REFUSED_MAX
from harness.client.types import Sample

# Attempts that are remembered.
REMEMBERED = 200.0
# Time-outs that may come together, and the standard errors that are granted.
TOGETHER, ERRORS = 2.0, 2.0
# Rule 3 holds for so many times of a time-out after the last one.
LASTS = 8.0
# The same after growth was noticed not to be answered, until the first is timed out.
NOTICED_S = 30.0
# Growth of the limit in the time of a time-out.
GROWTH = 1.25


class Unanswered:
    """Time-outs among the last attempts."""

    __slots__ = ("_answered", "_at", "_from", "_from_at", "_noticed", "_takes_s", "_unanswered", "_until", "since")

    def __init__(self) -> None:
        # Answers since the last time-out; the caller counts them.
        self.since = 0
        self._answered = self._unanswered = 0.0
        self._takes_s = 0.0
        self._until = -math.inf
        # The limit from which it grows, and since when.
        self._from, self._from_at = 0.0, -math.inf
        # Attempts that do not come back, as the start noticed before any was timed out.
        self._noticed = 0
        # The instants of the last time-outs.
        self._at: deque[float] = deque(maxlen=256)

    def timed_out(self, sample: Sample) -> bool:
        """An attempt was timed out. True if too many were."""
        now, takes_s = sample.done, sample.latency_s
        self._noticed = max(0, self._noticed - 1)
        self._takes_s, self._until = takes_s, now + LASTS * takes_s
        self._at.append(now)
        self._count_answers()
        self._unanswered += 1.0
        allowed = REFUSED_MAX * self._answered
        return self._unanswered > TOGETHER + allowed + ERRORS * math.sqrt(allowed)

    def noticed(self, count: int, now: float) -> None:
        """So many attempts do not come back, although later ones did."""
        self._noticed, self._takes_s, self._until = count, NOTICED_S, now + NOTICED_S

    def lowered(self) -> None:
        """The limit was lowered."""
        self._answered = self._unanswered = 0.0
        self.since = 0

    def recent(self, now: float) -> bool:
        """Whether some were timed out lately."""
        return now < self._until

    def under_way(self, now: float) -> int:
        """Attempts in flight that will be timed out, about."""
        while self._at and self._at[0] < now - self._takes_s:
            self._at.popleft()
        return max(len(self._at), self._noticed if now < self._until else 0)

    def top(self, value: float, now: float) -> float:
        """The limit up to which the limit `value` may grow now."""
        if now >= self._until:
            return math.inf
        if now >= self._from_at + self._takes_s or value < self._from:
            self._from, self._from_at = value, now
        if self._noticed:
            return value
        return GROWTH * self._from + 1.0

    def _count_answers(self) -> None:
        """Each answer beyond those that are remembered makes the time-outs fade."""
        new = min(float(self.since), REMEMBERED - self._answered)
        self._answered += new
        self._unanswered *= (REMEMBERED / (REMEMBERED + 1.0)) ** (self.since - new)
        self.since = 0

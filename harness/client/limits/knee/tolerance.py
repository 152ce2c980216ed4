"""Refusals that do not depend on the load, such as those of one broken replica of several; pure.

Rules of this file
  1. A server that is full, or limits a rate, refuses less when less is sent. If refusals go on at half of the limit or
     of the pace, sending less does not help, and their share is tolerated.
  2. Each success allows for so many refusals. What goes beyond is counted as before.
  3. The share is measured again each minute, and forgotten if refusals became much rarer.
  4. A share of at most 30 % that stays, although the limit was halved, does not come from a rate or a number that is
     limited: halving would have brought it down to less than a half.
"""

from __future__ import annotations

import math

from harness.client.limits.knee.outage import LEAST

AGAIN_S = 60.0
# Probability at which a row of failures is no accident.
ACCIDENT = 0.001
# Refusals allowed, in multiples of the tolerated share, and those that may come together.
ALLOWANCE, TOGETHER = 2.0, 16.0
# The share of the known share below which it is forgotten.
RARER = 0.5
# A larger share of refusals is an outage.
SHARE_MAX = 0.9
# Refusals go on if their share is at least that.
SOME = 0.04
# Halving the limit has been in vain: share of the limit, share of the refusals, and the largest share that is left.
HALF, STAYED, SMALL = 0.5, 0.5, 0.3
# Outcomes from which a share is known well enough.
POOLED = 30


class Shares:
    """The share of refusals before and after the limit was lowered."""

    __slots__ = ("_before", "_from", "_refused", "ok")

    def __init__(self) -> None:
        # Attempts that were accepted; the caller counts them.
        self.ok = 0
        self._refused = 0
        self._from, self._before = 0, 0.0

    def refused(self) -> None:
        """An attempt was refused."""
        self._refused += 1

    @property
    def share(self) -> float:
        """Of the outcomes since the last cut."""
        return self._refused / max(1, self.ok + self._refused)

    def lowered(self, value: int, first: bool) -> None:
        """The limit is lowered from `value`; `first` in a row."""
        if first:
            # The limit fell because of the last refusals, so few outcomes are no fair sample.
            self._from, self._before = value, 0.0 if self.unknown else self.share
        self.ok = self._refused = 0

    def halved(self, value: int) -> bool:
        """Whether the limit is half or less of that before the first cut."""
        return value <= HALF * self._from

    @property
    def unknown(self) -> bool:
        """Whether too few attempts ended since the last cut."""
        return self.ok + self._refused < POOLED

    @property
    def stayed(self) -> bool:
        """Whether the share has stayed."""
        return max(SOME, STAYED * self._before) <= self.share <= SMALL


class Tolerance:
    """The share of attempts that is refused at any load."""

    __slots__ = ("_allowed", "_ok", "_refused", "_until", "share")

    def __init__(self) -> None:
        self.share = 0.0
        self._allowed = 0.0
        self._ok = self._refused = 0
        self._until = 0.0

    def begin(self, share: float, now: float) -> None:
        """Tolerate this share, below 1, from now on."""
        self.share, self._allowed = share, TOGETHER
        self._ok = self._refused = 0
        self._until = now + AGAIN_S

    @property
    def streak_min(self) -> int:
        """Failures in a row that are no accident at this share."""
        return LEAST if not self.share else max(LEAST, math.ceil(math.log(ACCIDENT) / math.log(self.share)))

    def accepted(self) -> None:
        """An attempt succeeded."""
        self._ok += 1
        self._allowed = min(TOGETHER, self._allowed + ALLOWANCE * self.share / (1.0 - self.share))

    def excuses(self, now: float) -> bool:
        """An attempt was refused. True if that is no more than the tolerated share."""
        self._refused += 1
        if now >= self._until:
            share = self._refused / (self._ok + self._refused)
            self.begin(share if RARER * self.share <= share <= SHARE_MAX else 0.0, now)
        if not self.share or self._allowed < 1.0:
            return False
        self._allowed -= 1.0
        return True

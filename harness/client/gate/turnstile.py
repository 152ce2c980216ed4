"""The earliest start of the next attempt, however many are in flight: by rate, pause and quotas; pure.

Rules of this file
  1. It is `closed` while there is anything to ask. While it is open, callers need not ask, and it costs nothing.
  2. All bounds hold together: the latest instant counts.
  3. A quota that is reset all at once is waited for. One that refills gradually limits the rate to its refill rate.
     Either lasts `HINT_MAX_S` at most.
"""

from __future__ import annotations

import math

from harness.client.bound import Bound
from harness.client.gate.pace import Pace
from harness.client.gate.pause import HINT_MAX_S, Pause
from harness.client.transport.rate_limit_headers import Quota

# A start this soon is now: clocks have a resolution, and sums of floats their rounding.
SOON_S = 1e-6


class Turnstile:
    """`earliest` says when the next attempt may start, `take` records that one starts."""

    __slots__ = ("_closed_until", "_pace", "_refill", "_refill_until", "closed", "pause", "rate_per_s")

    def __init__(self) -> None:
        self.closed = False
        self.rate_per_s = math.inf
        self.pause = Pause()
        self._pace = Pace()
        # A quota is exhausted until then.
        self._closed_until = -math.inf
        # The refill rate of a quota, and how long it counts.
        self._refill = Pace()
        self._refill_until = -math.inf

    def refresh(self, now: float) -> None:
        """Decide again whether it is closed."""
        self.closed = (
            self.rate_per_s != math.inf or self.pause.active or now < self._closed_until or now < self._refill_until
        )

    def change_rate(self, rate_per_s: float, now: float) -> None:
        """The limit asks for another rate."""
        self.rate_per_s = rate_per_s
        self._pace.change(rate_per_s, now)

    def quotas_exhausted(self, quotas: list[Quota], now: float) -> None:
        """The server reports that nothing is left of these quotas."""
        for quota in quotas:
            until = now + min(quota.reset_s, HINT_MAX_S)
            if quota.refills and quota.kind == "requests" and quota.limit is not None and quota.limit > 0:
                rate = quota.limit / quota.reset_s
                if now >= self._refill_until:
                    self._refill = Pace(rate, now + 1.0 / rate)
                self._refill_until = until
            else:
                self._closed_until = max(self._closed_until, until)

    def earliest(self, now: float, ahead: int = 0) -> float:
        """When an attempt could start that has `ahead` others before it."""
        start = max(self.pause.earliest(now, ahead), self._pace.earliest(now, 1.0, ahead), self._closed_until)
        if start < self._refill_until:
            start = max(start, min(self._refill.earliest(now, 1.0, ahead), self._refill_until))
        return start if start > now + SOON_S else now

    def bound(self, now: float) -> Bound | None:
        """What keeps the next attempt from starting now; None if nothing does."""
        soon = now + SOON_S
        if self.pause.active and self.pause.earliest(now) > soon:
            return Bound.pause
        if now < self._closed_until or (now < self._refill_until and self._refill.earliest(now, 1.0) > soon):
            return Bound.quota
        return Bound.pace if self._pace.earliest(now, 1.0) > soon else None

    def take(self, now: float) -> int:
        """An attempt starts; returns its kind (`pause.ORDINARY`, `REPLACEMENT` or `PROBE`)."""
        self._pace.take(now)
        if now < self._refill_until:
            self._refill.take(now)
        return self.pause.take(now)

    def give_back(self, kind: int) -> None:
        """An attempt of this kind did not start after all."""
        self._pace.give_back()
        self._refill.give_back()
        self.pause.give_back(kind)

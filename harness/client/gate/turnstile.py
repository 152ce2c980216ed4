"""When the next attempt may start, however many are in flight: by the limit's rate and by what the server says; pure.

Rules of this file
  1. It is `shut` while there is anything to ask it. Whoever finds it open need not ask, and it costs nothing.
  2. Everything holds at once: the latest of all instants counts.
  3. A quota that is whole again at once is waited for until then, one that refills bit by bit is paced by what it
     refills; either for `HINT_MAX_S` at most.
"""

from __future__ import annotations

import math

from harness.client.gate.pace import Pace
from harness.client.gate.pause import HINT_MAX_S, Pause
from harness.client.quota import Quota

SOON_S = 1e-6  # that is now: clocks have a resolution, and sums of floats their last digit


class Turnstile:
    """Asked with `earliest`, told with `take` what starts."""

    __slots__ = ("_closed_until", "_pace", "_refill", "_refill_until", "pause", "rate_per_s", "shut")

    def __init__(self) -> None:
        self.shut = False
        self.rate_per_s = math.inf
        self.pause = Pause()
        self._pace = Pace()
        self._closed_until = -math.inf  # a quota is used up until then
        self._refill = Pace()  # what a quota refills
        self._refill_until = -math.inf

    def look(self, now: float) -> None:
        """Anything may have changed."""
        self.shut = (
            self.rate_per_s != math.inf or self.pause.active or now < self._closed_until or now < self._refill_until
        )

    def change(self, rate_per_s: float, now: float) -> None:
        """The limit's rate is another."""
        self.rate_per_s = rate_per_s
        self._pace.change(rate_per_s, now)

    def used_up(self, quotas: list[Quota], now: float) -> None:
        """Nothing is left of these."""
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
        """When one could start that has so many before it."""
        start = max(self.pause.earliest(now, ahead), self._pace.earliest(now, ahead), self._closed_until)
        if start < self._refill_until:
            start = max(start, min(self._refill.earliest(now, ahead), self._refill_until))
        return start if start > now + SOON_S else now

    def take(self, now: float) -> int:
        """One starts; what it is to the pause."""
        self._pace.take(now)
        if now < self._refill_until:
            self._refill.take(now)
        return self.pause.take(now)

    def give_back(self, kind: int) -> None:
        """One that was to start did not."""
        self._pace.give_back()
        self._refill.give_back()
        self.pause.give_back(kind)

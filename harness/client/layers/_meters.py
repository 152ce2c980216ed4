"""What may pass in a time: the meters of the rate limit; pure.

A meter answers when something of a given cost could go if it were asked at `now`, with so much `ahead` of it in line,
and is told what went. Units are whatever is counted: requests or tokens.
"""

from __future__ import annotations

from typing import Protocol

from harness.client.errors import SettingError
from harness.client.quota import Quota


class Meter(Protocol):
    def earliest(self, now: float, cost: float = 1.0, ahead: float = 0.0) -> float: ...
    def take(self, start: float, cost: float = 1.0) -> None: ...


class Gcra:
    """The generic cell rate algorithm (ITU-T I.371): leaky and token bucket in one number.

    With `burst` 1 it is a leaky bucket: one after another, evenly. With more it is a token bucket of that capacity: in
    any window of T seconds at most burst + rate x T pass. What costs more than the bucket holds waits until it is full.
    """

    __slots__ = ("_interval_s", "_next", "burst")

    def __init__(self, rate_per_s: float, burst: float = 1.0, name: str = "rate_per_s") -> None:
        if not 0 < rate_per_s < float("inf"):
            raise SettingError(f"{name}={rate_per_s!r} must be above 0")
        if not burst >= 1:
            raise SettingError(f"burst={burst!r} must be at least 1")
        self._interval_s = 1.0 / rate_per_s
        self._next = float("-inf")  # when the bucket is whole again: the theoretical arrival time
        self.burst = burst

    def earliest(self, now: float, cost: float = 1.0, ahead: float = 0.0) -> float:
        """The instant at which it could go; nothing is taken."""
        room = self.burst - (cost if cost < self.burst else self.burst)
        start = self._next + (ahead - room) * self._interval_s
        return start if start > now else now

    def passes(self, now: float) -> bool:
        """Something of cost 1 goes now, if it may: `earliest` and `take` in one, for the path that most requests go."""
        expected = self._next
        if expected - (self.burst - 1.0) * self._interval_s > now:
            return False
        self._next = (expected if expected > now else now) + self._interval_s
        return True

    def take(self, start: float, cost: float = 1.0) -> None:
        """It goes at `start`, which `earliest` said: not when its timer fired, so that lateness never adds up."""
        self._next = (self._next if self._next > start else start) + cost * self._interval_s

    def reserve(self, now: float, cost: float = 1.0) -> float:
        """Both in one: when it may go, and it is taken."""
        start = self.earliest(now, cost)
        self.take(start, cost)
        return start

    def correct(self, cost: float) -> None:
        """What went cost so much more than was thought; less, if negative."""
        self._next += cost * self._interval_s


class Window:
    """So much until an instant, then all anew: a fixed window as a server tells it."""

    __slots__ = ("_left", "_resets_at")

    def __init__(self, left: float, resets_at: float) -> None:
        self._left = left
        self._resets_at = resets_at

    def earliest(self, now: float, cost: float = 1.0, ahead: float = 0.0) -> float:
        """Now while enough is left, else at the reset; what comes then is for the next answer to say."""
        return now if now >= self._resets_at or self._left >= cost + ahead else self._resets_at

    def take(self, start: float, cost: float = 1.0) -> None:
        """Less is left."""
        self._left -= cost


def meter_of(quota: Quota, now: float, in_flight: float) -> Meter | None:
    """The server's own meter as it stands; what is on the wire it has not counted yet. None if it says nothing."""
    if quota.reset_s <= 0:
        return None
    left = quota.remaining - in_flight
    if not (quota.refills and quota.limit is not None and quota.limit > quota.remaining):
        return Window(left, now + quota.reset_s)
    used = quota.limit - quota.remaining
    gcra = Gcra(used / quota.reset_s, max(1.0, quota.limit))
    gcra.take(now, used + in_flight)
    return gcra

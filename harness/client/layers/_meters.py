"""What may pass in a time: the meters of the rate limit; pure.

A meter answers when something of a given cost could go if it were asked at `now`, with so much `ahead` of it in line,
and is told what went. Units are whatever is counted: requests or tokens.
"""

from __future__ import annotations

from typing import Protocol

from harness.base.gcra import Gcra
from harness.client.errors import SettingError
from harness.client.transport.rate_limit_headers import Quota


class Meter(Protocol):
    def earliest(self, now: float, cost: float = 1.0, ahead: float = 0.0) -> float: ...
    def take(self, start: float, cost: float = 1.0) -> None: ...


def gcra_of(rate_per_s: float, burst: float = 1.0, name: str = "rate_per_s") -> Gcra:
    """A meter of a rate and a burst; raises SettingError that names the field."""
    if not 0 < rate_per_s < float("inf"):
        raise SettingError(f"{name}={rate_per_s!r} must be above 0")
    if not burst >= 1:
        raise SettingError(f"burst={burst!r} must be at least 1")
    return Gcra(rate_per_s, burst)


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
    gcra = gcra_of(used / quota.reset_s, max(1.0, quota.limit))
    gcra.take(now, used + in_flight)
    return gcra

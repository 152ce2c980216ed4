"""Meters of the rate limit: how much may pass in a given time; pure.

`earliest` gives the first instant from `now` at which a given cost may pass with so much `ahead` of it in line; `take`
records a cost that passed. Units are requests or tokens.
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
    """A fixed window, as a server reports it: so much until the reset, then the full amount again."""

    __slots__ = ("_left", "_resets_at")

    def __init__(self, left: float, resets_at: float) -> None:
        self._left = left
        self._resets_at = resets_at

    def earliest(self, now: float, cost: float = 1.0, ahead: float = 0.0) -> float:
        """Now while enough is left, else at the reset; the next response reports the quota after it."""
        return now if now >= self._resets_at or self._left >= cost + ahead else self._resets_at

    def take(self, start: float, cost: float = 1.0) -> None:
        """Reduce the rest of this window."""
        self._left -= cost


def meter_of(quota: Quota, now: float, in_flight: float) -> Meter | None:
    """The server's own meter, less the requests in flight that it has not counted yet. None without a reset time."""
    if quota.reset_s <= 0:
        return None
    left = quota.remaining - in_flight
    if not (quota.refills and quota.limit is not None and quota.limit > quota.remaining):
        return Window(left, now + quota.reset_s)
    used = quota.limit - quota.remaining
    gcra = gcra_of(used / quota.reset_s, max(1.0, quota.limit))
    gcra.take(now, used + in_flight)
    return gcra

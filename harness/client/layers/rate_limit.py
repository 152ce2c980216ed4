"""At most so many requests a second, by the generic cell rate algorithm (ITU-T I.371; a leaky bucket as a meter).

One number is the whole state: the theoretical arrival time of the next request. It is exact from the first second: in
any window of T seconds at most burst + rate x T requests pass, where a bucket that starts full and refills lets twice
as many through.
"""

from __future__ import annotations

import asyncio
import math

from harness.client.clock import Clock, clock
from harness.client.errors import SettingError
from harness.client.types import Outcome, Request, Response, Send


class Gcra:
    """The pure part: who asks at `now` may go at the returned instant, in order of asking."""

    __slots__ = ("_interval_s", "_next", "_tolerance_s")

    def __init__(self, rate_per_s: float, burst: int = 1) -> None:
        if not rate_per_s > 0:
            raise SettingError(f"rate_per_s={rate_per_s!r} must be above 0")
        if burst < 1:
            raise SettingError(f"burst={burst!r} must be at least 1")
        self._interval_s = 1.0 / rate_per_s
        self._tolerance_s = (burst - 1) * self._interval_s
        self._next = float("-inf")

    def earliest(self, now: float) -> float:
        """The instant at which a request that asks at `now` could go; nothing is taken."""
        return max(now, self._next - self._tolerance_s)

    def reserve(self, now: float) -> float:
        """The instant at which this request may go (`now`, if at once); the place is taken."""
        expected = max(self._next, now)
        self._next = expected + self._interval_s
        return max(now, expected - self._tolerance_s)

    def give_back(self, start: float) -> None:
        """A reserved instant is not used: frees it if it was the last one (those behind it are never moved)."""
        last = self._next - self._interval_s
        if abs(last - self._tolerance_s - start) < 1e-6 * self._interval_s:
            self._next = last


class RateLimit:
    """At most `rate_per_s` requests a second, `burst` of them at once after a pause; exact from the first second.

    One that could only go after its deadline is not sent, and takes no place. Instants are absolute, so a timer's
    lateness never adds up.
    """

    def __init__(self, inner: Send, rate_per_s: float, burst: int = 1) -> None:
        self._inner = inner
        self._gcra = Gcra(rate_per_s, burst)
        self._now: Clock | None = None
        self.waiting = 0  # requests that wait for their instant

    async def __call__(self, request: Request, /) -> Response:
        clock_now = self._now = self._now or clock()
        now = clock_now()
        if request.deadline < math.inf and request.deadline < self._gcra.earliest(now):
            return Response(Outcome.not_sent, done=now, error="the rate limit allows no start before its deadline")
        start = self._gcra.reserve(now)
        if start > now:
            await self._until(start, clock_now)
        return await self._inner(request)

    async def _until(self, start: float, now: Clock) -> None:
        self.waiting += 1
        try:
            while (left := start - now()) > 0:  # noqa: ASYNC110 - there is no event: time itself is waited for
                await asyncio.sleep(left)
        except BaseException:
            self._gcra.give_back(start)
            raise
        finally:
            self.waiting -= 1

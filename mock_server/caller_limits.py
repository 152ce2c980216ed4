"""The server's limits for its callers: in-flight requests and a token bucket. Pure: time is an argument."""

from __future__ import annotations

from harness.base.gcra import Gcra
from mock_server.profile import Limits
from model_server.errors import ApiError


class TokenBucket(Gcra):
    """`rate_per_s` in the long run, `burst` at the same time; exact from the first second."""

    __slots__ = ()

    def wait_s(self, now: float) -> float:
        """0 if a request is allowed now (it is then counted), else the seconds to wait."""
        wait = self.earliest(now) - now
        if wait > 1e-9:
            return wait
        self.take(now)
        return 0.0


class LimitBook:
    """Admits or refuses requests by one `[limits]` table."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.in_flight = 0
        self._bucket = TokenBucket(limits.rate_per_s, limits.burst) if limits.rate_per_s else None
        self._mean_s = 0.0

    def check(self, now: float) -> ApiError | None:
        """None if the request is admitted (then call `leave` once), else the refusal with its Retry-After."""
        limits = self.limits
        if limits.in_flight and self.in_flight >= limits.in_flight:
            wait = self._mean_s / limits.in_flight
            return self._refusal(f"{limits.in_flight} requests at once are allowed", "concurrency_limit_exceeded", wait)
        wait = self._bucket.wait_s(now) if self._bucket else 0.0
        if wait:
            message = f"{limits.rate_per_s:g} requests per second are allowed"
            return self._refusal(message, "rate_limit_exceeded", wait)
        self.in_flight += 1
        return None

    def leave(self, duration_s: float) -> None:
        """An admitted request has ended after `duration_s`."""
        self.in_flight -= 1
        self._mean_s += (duration_s - self._mean_s) * (0.1 if self._mean_s else 1.0)

    def _refusal(self, message: str, code: str, wait_s: float) -> ApiError:
        status = self.limits.status
        kind = "rate_limit_error" if status == 429 else "overloaded_error"
        after_s = self.limits.retry_after_s if self.limits.retry_after_s is not None else wait_s
        return ApiError(status, message, code=code, type=kind, retry_after_s=after_s if self.limits.tell_wait else None)

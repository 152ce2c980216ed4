"""Another attempt after a failure that another attempt may cure.

Full jitter: pause k is uniform in [0, min(cap, base * 2^k)], with two bases: a short one for faults that pass and a
long one for a server that says "too much" (Brooker 2015; the two classes as in AWS's 2026 retry mode). Retry-After is
obeyed as the earliest instant. Whoever sleeps here holds no slot and no token: this layer goes outside of those.
"""

from __future__ import annotations

import asyncio
from random import Random

from harness.client.clock import Clock, clock
from harness.client.errors import SettingError
from harness.client.types import Attempt, Outcome, Request, Response, Send

RETRYABLE = frozenset(
    {Outcome.rejected, Outcome.timed_out, Outcome.server_error, Outcome.connection_error, Outcome.bad_response}
)
"""What another attempt may cure. Other 4xx, cancellation and what was never sent are final."""

RETRY_AFTER_MAX_S = 60.0  # a server that asks for more is not waited for: the failure is final


class Retry:
    """Up to `retries` further attempts with full jitter; Retry-After and the request's deadline are obeyed."""

    def __init__(
        self,
        inner: Send,
        retries: int = 3,
        base_s: float = 0.05,
        throttle_base_s: float = 1.0,
        cap_s: float = 20.0,
        rng: Random | None = None,
    ) -> None:
        if retries < 0:
            raise SettingError(f"retries={retries!r} must be at least 0")
        for name, value in (("base_s", base_s), ("throttle_base_s", throttle_base_s), ("cap_s", cap_s)):
            if not value > 0:
                raise SettingError(f"{name}={value!r} must be above 0")
        self._inner = inner
        self._retries = retries
        self._base_s = base_s
        self._throttle_base_s = throttle_base_s
        self._cap_s = cap_s
        self._rng = rng or Random()
        self._now: Clock | None = None

    async def __call__(self, request: Request, /) -> Response:
        response = await self._inner(request)
        if response.outcome not in RETRYABLE:
            return response
        return await self._again(request, response)

    async def _again(self, request: Request, response: Response) -> Response:
        now = self._now = self._now or clock()
        previous: tuple[Attempt, ...] = response.previous
        for number in range(self._retries):
            pause_s = self.pause_s(number, response)
            if pause_s is None or not request.idempotent or now() + pause_s > request.deadline:
                break
            previous += (_attempt(response),)
            await asyncio.sleep(pause_s)
            response = await self._inner(request)
            if response.outcome is Outcome.not_sent:  # stopped meanwhile: the last real attempt stands
                last = previous[-1]
                response = Response(last.outcome, last.status, (), last.sent, last.first_byte, last.done)
                previous = previous[:-1]
                break
            if response.outcome not in RETRYABLE:
                break
        response.previous = previous
        return response

    def pause_s(self, number: int, response: Response) -> float | None:
        """Seconds before retry `number` (0 for the first); None if the server asks for more than is sensible."""
        base_s = self._throttle_base_s if response.outcome is Outcome.rejected else self._base_s
        jitter_s = self._rng.uniform(0.0, min(self._cap_s, base_s * 2.0**number))
        asked_s = response.retry_after_s
        if asked_s is None:
            return jitter_s
        if asked_s > RETRY_AFTER_MAX_S:
            return None
        return asked_s + min(jitter_s, self._base_s * 2.0**number)


def _attempt(response: Response) -> Attempt:
    return Attempt(response.sent, response.first_byte, response.done, response.outcome, response.status)

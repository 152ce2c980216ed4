"""Retries after failures that may pass.

Full jitter: pause k is uniform in [0, min(cap, base * 2^k)], with two bases: a short one for faults that pass and a
long one for a server that is overloaded (Brooker 2015; the two classes as in AWS's 2026 retry mode). Retry-After gives
the earliest instant; the jitter of the short base is added, so that clients with the same Retry-After do not come back
together. A request that waits here holds no slot and no token, so this layer goes outside of those.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import ClassVar

from harness.base.clock import Clock, clock
from harness.client.cancellation import attach, partial_of
from harness.client.errors import SettingError
from harness.client.hooks import RetryDetails, RetryHook
from harness.client.layers._budget import RetryBudget
from harness.client.types import Attempt, Outcome, Request, Response, Send

RETRYABLE = frozenset(
    {Outcome.rejected, Outcome.timed_out, Outcome.server_error, Outcome.connection_error, Outcome.bad_response}
)
"""Outcomes that may pass. Other 4xx, cancellation and requests that were never sent are final."""

# Server errors that do not pass.
PERMANENT_STATUS = frozenset({501, 505})
# If a server asks for a longer wait, the failure is final.
RETRY_AFTER_MAX_S = 60.0


class Retry:
    """Up to `retries` further attempts with full jitter; Retry-After and the request's deadline are obeyed.

    A request that is not idempotent is sent again only when it was rejected. With a `budget` that several requests
    share, retries fade out while the server fails, instead of multiplying its load.

    Args:
        inner: Sends one attempt.
        retries: Further attempts after the first. Default 3.
        base_s: Upper bound of the first wait after a fault that passes, in seconds; it doubles each time. Default 0.05.
        throttle_base_s: The same after a 429 or 503 without Retry-After, in seconds. Default 1.0.
        cap_s: Upper bound of every wait, in seconds. Default 20.0.
        rng: Source of the jitter. Default None: a new one, seeded by the system.
        budget: Retry budget that several requests share. Default None: no budget.
        on_retry: Gets one `RetryDetails` before the wait for each retry; it must be quick and must not raise. Default
            None: no hook.
    """

    place: ClassVar[int] = 60

    def __init__(
        self,
        inner: Send,
        retries: int = 3,
        base_s: float = 0.05,
        throttle_base_s: float = 1.0,
        cap_s: float = 20.0,
        rng: Random | None = None,
        budget: RetryBudget | None = None,
        on_retry: RetryHook | None = None,
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
        self._budget = budget
        self._on_retry = on_retry
        self._now: Clock | None = None
        self.requests = 0  # that were tried again
        self.recovered = 0  # of them, those that came to an ok answer
        self.retries = 0  # attempts that were sent again
        self.paid = 0  # of them, those that the budget was charged with
        self.unpaid = 0  # that the budget did not allow
        self.paused_s = 0.0  # before the attempts that were sent again

    async def __call__(self, request: Request, /) -> Response:
        response = await self._inner(request)
        if response.outcome is Outcome.ok:
            if self._budget is not None:
                self._budget.earn()
            return response
        return await self._again(request, response)

    async def _again(self, request: Request, response: Response) -> Response:
        now = self._now = self._now or clock()
        waited_s = 0.0
        for number in range(self._retries):
            pause_s = self.pause_s(number, response)
            if pause_s is None or not _curable(request, response) or now() + pause_s >= request.deadline:
                break
            paid = 0
            if self._budget is not None and not (paid := self._budget.spend(response.outcome is Outcome.rejected)):
                self.unpaid += 1
                return _final(response, "the retry budget is spent")
            last = response
            if self._on_retry is not None:
                self._report(RetryDetails(request, last, number + 1, pause_s, waited_s), paid)
            waited_s += pause_s
            try:
                await asyncio.sleep(pause_s)
                response = await self._inner(request)
            except asyncio.CancelledError as cancelled:  # earlier attempts must still be counted
                partial = partial_of(cancelled) or Response(Outcome.cancelled)
                partial.previous = (*last.previous, _attempt(last), *partial.previous)
                attach(cancelled, partial)
                if partial.sent >= 0.0:
                    self._sent(number, pause_s)
                elif self._budget is not None:  # NaN: cancelled before it was sent
                    self._budget.earn(paid)
                raise
            if response.outcome is Outcome.not_sent:  # the last real attempt stands
                if self._budget is not None:
                    self._budget.earn(paid)
                return _final(last, response.error or "it could not be sent")
            self._sent(number, pause_s)
            response.previous = (*last.previous, _attempt(last), *response.previous)
            if response.outcome is Outcome.ok:
                self.recovered += 1
                if self._budget is not None:
                    self._budget.earn(paid)
        return response

    def _report(self, details: RetryDetails, paid: int) -> None:
        try:
            if self._on_retry is not None:
                self._on_retry(details)
        except BaseException:
            if self._budget is not None:
                self._budget.earn(paid)
            raise

    def _sent(self, number: int, pause_s: float) -> None:
        """Retry `number` of a request was sent."""
        self.requests += not number
        self.retries += 1
        self.paid += self._budget is not None
        self.paused_s += pause_s

    def figures(self) -> dict[str, float]:
        """Retried and recovered requests, and retries; with a budget, those that it paid for and refused."""
        counted = {"requests": self.requests, "recovered": self.recovered, "retries": self.retries}
        budget = {"paid": self.paid, "unpaid": self.unpaid} if self._budget is not None else {}
        return {**counted, **budget, "paused_s": self.paused_s}

    def pause_s(self, number: int, response: Response) -> float | None:
        """Seconds before retry `number` (0 for the first); None if the server asks for too long a wait."""
        # A Retry-After of 0 counts as none: the backoff applies.
        asked_s = response.retry_after_s or 0.0
        if asked_s > RETRY_AFTER_MAX_S:
            return None
        throttled = response.outcome is Outcome.rejected and not asked_s
        base_s = self._throttle_base_s if throttled else self._base_s
        return asked_s + self._rng.uniform(0.0, min(self._cap_s, base_s * 2.0 ** min(number, 64)))


def _curable(request: Request, response: Response) -> bool:
    """Whether another attempt may succeed and is safe. A rejected request was not processed, so a retry is safe."""
    if response.outcome is Outcome.rejected:
        return True
    return response.outcome in RETRYABLE and request.idempotent and response.status not in PERMANENT_STATUS


def _final(response: Response, why: str) -> Response:
    response.error = f"{response.error or response.outcome.name}; not tried again: {why}"
    return response


def _attempt(response: Response) -> Attempt:
    return Attempt(response.sent, response.first_byte, response.done, response.outcome, response.status)

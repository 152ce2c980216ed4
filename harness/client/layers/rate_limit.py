"""Rate limit in requests and tokens per second, corrected by the limits that the server reports.

Rules of this file
  1. First come, first served: requests wait in one line, and only its head reads the meters. So a cancelled wait uses
     no capacity.
  2. A start is recorded at the instant that the meters gave, not when a timer fired, so lateness does not add up.
  3. Limits that the server reports replace earlier ones, less the requests in flight that it has not counted yet.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import ClassVar, Literal

from harness.base.clock import Clock, clock
from harness.base.gcra import Gcra
from harness.client.errors import SettingError
from harness.client.figures import Ratio
from harness.client.layers._meters import Meter, gcra_of, meter_of
from harness.client.text.tokens import tokens_of, tokens_used
from harness.client.transport.rate_limit_headers import SILENT, SOME, quotas
from harness.client.types import Outcome, Request, Response, Send

_TOKENS = 1
_ONE = (1.0, 0.0)


class RateLimit:
    """At most `rate_per_s` requests and `tokens_per_s` tokens a second, exact from the first second.

    `bucket` is "leaky" (one after another, evenly) or "token" (after a pause `burst` at once, by default a second's
    worth); a `burst` that is given alone makes it a token bucket of that capacity. With `follow` the limits that the
    server reports in its answers apply too, and without any rate they alone apply. A request that could only start
    after its deadline is not sent, and uses no capacity.

    Args:
        inner: Sends one attempt.
        rate_per_s: Upper bound of requests per second. Default None: only the server's own limits.
        burst: Requests that may start at once after a pause. Default None: 1, or with a token bucket the
            requests of a second.
        tokens_per_s: Upper bound of tokens per second, of prompt and answer. Default None: no bound.
        bucket: "leaky" spaces requests evenly, "token" allows bursts. Default "leaky".
        follow: Whether limits in the headers of answers are obeyed. Default True.
        tokens: Estimates the tokens of a request. Default tokens_of: from its body and `max_tokens`.
    """

    place: ClassVar[int] = 80
    ratios: ClassVar[tuple[Ratio, ...]] = (Ratio("mean_wait_s", "waited_s", ("waits",)),)

    def __init__(
        self,
        inner: Send,
        rate_per_s: float | None = None,
        burst: int | None = None,
        tokens_per_s: float | None = None,
        bucket: Literal["leaky", "token"] = "leaky",
        follow: bool = True,
        tokens: Callable[[Request], float] = tokens_of,
    ) -> None:
        if rate_per_s is None and tokens_per_s is None and not follow:
            raise SettingError("rate_per_s=None: nothing is limited without rate_per_s, tokens_per_s or follow")
        if bucket not in ("leaky", "token"):
            raise SettingError(f"bucket={bucket!r} must be leaky or token")
        if burst is not None and rate_per_s is None:
            raise SettingError(f"burst={burst!r} is of the bucket that rate_per_s fills, and none is given")
        self._inner = inner
        self._own: list[Gcra | None] = [None, None]
        if rate_per_s is not None:
            size = burst if burst is not None else (max(1.0, rate_per_s) if bucket == "token" else 1.0)
            self._own[0] = gcra_of(rate_per_s, size)
        if tokens_per_s is not None:  # a leaky bucket of tokens, too, must let a whole request through
            self._own[_TOKENS] = gcra_of(tokens_per_s, max(1.0, tokens_per_s), "tokens_per_s")
        self._follow = follow
        self._tokens = tokens
        self._meters: list[tuple[int, Meter]] = [(n, own) for n, own in enumerate(self._own) if own is not None]
        self._counts_tokens = self._own[_TOKENS] is not None
        self._solo = None if self._counts_tokens else self._own[0]  # the only meter there is
        self._silent = 0
        self._flying = [0.0, 0.0]
        self._ahead = [0.0, 0.0]  # cost of the requests in line
        self._turn = asyncio.Lock()
        self._now: Clock | None = None
        self.waiting = 0  # requests that wait for their instant
        self.waits = 0  # requests that had to wait, and went
        self.waited_s = 0.0
        self.not_sent = 0  # requests whose deadline came before they could go

    async def __call__(self, request: Request, /) -> Response:
        clock_now = self._now = self._now or clock()
        now = clock_now()
        costs = _ONE if not self._counts_tokens else (1.0, self._tokens(request))
        if self._solo is not None and not self.waiting and self._solo.passes(now):
            pass
        elif self.waiting or self._earliest(now, costs) > now:
            start = self._earliest(now, costs, self._ahead)
            if request.deadline < start:
                self.not_sent += 1
                return Response(Outcome.not_sent, done=now, error="the rate limit allows no start before its deadline")
            await self._wait(now, costs, clock_now)
        else:
            self._take(now, costs)
        if not self._follow:
            response = await self._inner(request)
        elif self._silent >= SILENT:
            response = await self._inner(request)
            self._silent += 1
            if response.outcome is Outcome.rejected or self._silent % SOME == 0:
                self._hear(response, clock_now)
        else:
            response = await self._counted(request, costs)
            self._hear(response, clock_now)
        if self._counts_tokens:
            self._settle(response, costs[_TOKENS])
        return response

    def figures(self) -> dict[str, float]:
        """Requests that had to wait, their total wait, and requests not sent because of their deadline."""
        return {"waits": self.waits, "waited_s": self.waited_s, "not_sent": self.not_sent}

    async def _counted(self, request: Request, costs: tuple[float, float]) -> Response:
        """Cost of the requests in flight that the server has not counted yet."""
        flying = self._flying
        flying[0] += costs[0]
        flying[1] += costs[1]
        try:
            return await self._inner(request)
        finally:
            flying[0] -= costs[0]
            flying[1] -= costs[1]

    def _earliest(self, now: float, costs: tuple[float, float], ahead: list[float] | None = None) -> float:
        start = now
        for kind, meter in self._meters:
            at = meter.earliest(now, costs[kind], ahead[kind] if ahead is not None else 0.0)
            if at > start:  # noqa: PLR1730 - a call of max() costs as much as the whole meter
                start = at
        return start

    def _take(self, start: float, costs: tuple[float, float]) -> None:
        for kind, meter in self._meters:
            meter.take(start, costs[kind])

    async def _wait(self, asked: float, costs: tuple[float, float], now: Clock) -> None:
        """Wait in line; at its head sleep until the meters allow this request."""
        ahead = self._ahead
        self.waiting += 1
        ahead[0] += costs[0]
        ahead[1] += costs[1]
        try:
            async with self._turn:
                while (left := (start := self._earliest(asked, costs)) - now()) > 0:  # noqa: ASYNC110 - time is waited for
                    # Meanwhile a response may report a limit that moves the start.
                    await asyncio.sleep(left)
                self._take(start, costs)
                self.waits += 1
                self.waited_s += max(0.0, now() - asked)
        finally:
            self.waiting -= 1
            ahead[0] -= costs[0]
            ahead[1] -= costs[1]

    def _hear(self, response: Response, now: Clock) -> None:
        """Apply the limits that the server reports."""
        reported = quotas(response.headers, time.time()) if response.headers else []
        if not reported:
            self._silent += 1
            return
        self._silent = 0
        at = now()
        from_server: list[tuple[int, Meter]] = []
        for quota in reported:
            kind = _TOKENS if quota.kind == "tokens" else 0
            self._counts_tokens = self._counts_tokens or kind == _TOKENS
            if (meter := meter_of(quota, at, self._flying[kind])) is not None:
                from_server.append((kind, meter))
        self._meters = [(n, own) for n, own in enumerate(self._own) if own is not None] + from_server
        self._solo = self._own[0] if len(self._meters) == 1 and not from_server else None

    def _settle(self, response: Response, thought: float) -> None:
        """Correct the estimated tokens by the count in the answer."""
        own = self._own[_TOKENS]
        if own is not None and response.outcome is Outcome.ok and (used := tokens_used(response)) is not None:
            own.correct(used - thought)

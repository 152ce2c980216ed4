"""A worker's part of the common rate of requests and tokens; also the common pause.

Rules of this file
  1. First come, first served. Only the head of the line looks at the rate, which may change while it waits.
  2. A start is counted at the instant that the rate gave, not when a timer fired, so lateness does not add up.
  3. A share that was not renewed in time is no share: nothing starts.
  4. From the first share on, at most rate times time start, and one more. In any span of time it is that, and what may
     be made up for because it was not used just before.
"""

from __future__ import annotations

import asyncio
import math

from harness.base.clock import Clock, clock
from harness.client.text.tokens import tokens_of, tokens_used
from harness.client.types import Outcome, Request, Response

# What was not used lately may be made up for: so many seconds, or so many requests of a slow rate.
_CATCH_UP_S, _CATCH_UP_STARTS = 0.1, 2.0
# The head of the line looks again after this time at the latest.
_LOOK_S = 0.05


class Pacer:
    """Lets requests start at the shares of this worker."""

    def __init__(self) -> None:
        self.rate_per_s: float | None = None
        self.tokens_per_s: float | None = None
        self.started = 0
        self.tokens = 0.0
        # A request had to wait since the last look.
        self.short = False
        self.waiting = 0
        self._valid_until = -math.inf
        self._paused_until = -math.inf
        self._next = self._next_token = -math.inf
        self._line = asyncio.Lock()
        self._clock: Clock | None = None

    def set(self, rate_per_s: float | None, tokens_per_s: float | None, pause_s: float, valid_until: float) -> None:
        """A new share of the common rates."""
        # Of the time without a rate nothing is made up for.
        if self.rate_per_s is None:
            self._next = self._now()
        if self.tokens_per_s is None:
            self._next_token = self._now()
        self.rate_per_s, self.tokens_per_s = rate_per_s, tokens_per_s
        self._valid_until = valid_until
        self._paused_until = self._now() + pause_s

    async def turn(self, request: Request) -> Response | None:
        """Wait until the request may start; a response instead if its deadline passes before."""
        cost = tokens_of(request) if self.tokens_per_s is not None else 0.0
        self.waiting += 1
        try:
            async with self._line:
                while (left := self._wait_s()) > 0:
                    self.short = True
                    if request.deadline < self._now():
                        why = "the rate limit allows no start before its deadline"
                        return Response(Outcome.not_sent, done=self._now(), error=why)
                    await asyncio.sleep(min(left, _LOOK_S))
                self._take(cost)
        finally:
            self.waiting -= 1
        return None

    def settle(self, request: Request, response: Response) -> None:
        """Correct the estimated tokens by the number in the answer."""
        if self.tokens_per_s and response.outcome is Outcome.ok and (used := tokens_used(response)) is not None:
            more = used - tokens_of(request)
            self._next_token += more / self.tokens_per_s
            self.tokens += more

    def _wait_s(self) -> float:
        now = self._now()
        if now > self._valid_until or self.rate_per_s == 0 or self.tokens_per_s == 0:
            return _LOOK_S
        earliest = self._paused_until
        if self.rate_per_s is not None:
            earliest = max(earliest, self._next)
        if self.tokens_per_s is not None:
            earliest = max(earliest, self._next_token)
        return earliest - now

    def _take(self, cost: float) -> None:
        now = self._now()
        self.started += 1
        self.tokens += cost
        if self.rate_per_s:
            credit_s = max(_CATCH_UP_S, _CATCH_UP_STARTS / max(self.rate_per_s, 1.0))
            self._next = max(self._next, now - credit_s) + 1 / self.rate_per_s
        if self.tokens_per_s:
            self._next_token = max(self._next_token, now - _CATCH_UP_S) + cost / self.tokens_per_s

    def _now(self) -> float:
        self._clock = self._clock or clock()
        return self._clock()

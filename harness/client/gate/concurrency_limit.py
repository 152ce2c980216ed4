"""The layer that holds the number of attempts in flight at the value of a limit, and lets the limit learn from each.

`Slots` says who starts when. This class feeds the limit and the turnstile with what responses show.
"""

from __future__ import annotations

import math
from collections.abc import Coroutine
from typing import Any

from harness.client.bound import Bound
from harness.client.cause import Cause
from harness.client.gate.lateness import lag_for
from harness.client.gate.pause import PROBE
from harness.client.gate.quota_headers import QuotaReader
from harness.client.gate.sampler import Sampler
from harness.client.gate.slots import Slots
from harness.client.gate.streak import Streak
from harness.client.gate.watchers import Share
from harness.client.limits.fixed import Fixed
from harness.client.protocols import BoundedLimit, ExplainedLimit, PacedLimit, QueueLimit, SizedLimit
from harness.client.types import SIGNALS, Limit, Outcome, Request, Response, Send, Signal

_OK, _REJECTED = Outcome.ok, Outcome.rejected
_DEMAND, _LIMIT, _MAXIMUM = Bound.demand, Bound.limit, Bound.maximum
ACCEPTED = frozenset({Outcome.ok, Outcome.client_error, Outcome.bad_response})
"""The server accepted the request. After a 5xx, a time-out or a broken connection that is unknown."""


class ConcurrencyLimit(Slots):
    """Holds the number of attempts in flight at the value of a limit, in order of arrival; the limit learns from each.

    Args:
        inner: Sends one attempt.
        limit: The concurrency algorithm. If its `rate_per_s` is finite, attempts start no faster than that. If its
            `uses_work` is true, samples carry the relative size of each attempt.
        respect_retry_after: Pause when the server refuses everything and sends Retry-After, and when its headers report
            an exhausted quota. Default None: for every limit but a fixed one.
    """

    def __init__(self, inner: Send, limit: Limit, respect_retry_after: bool | None = None) -> None:
        super().__init__(limit.value, Share(inner), _rate_of(limit))
        self.limit = limit
        # How often the limit has changed.
        self.generation = 0
        fixed = isinstance(limit, Fixed)
        self._respects = not fixed if respect_retry_after is None else respect_retry_after
        # A fixed limit learns nothing, so its responses need not be read.
        self._plain = fixed and not self._respects
        self._pause = self._turnstile.pause
        self._quotas = QuotaReader()
        # The last success while the turnstile was open.
        self._accepted_at = -math.inf
        # The lateness of the loop is being measured (`lateness.Owner`).
        self.sampled = False
        self._streak = Streak()
        self._sampler = Sampler()
        self._sample = self._sampler.sample
        self._describe()

    def __call__(self, request: Request, /) -> Coroutine[Any, Any, Response]:
        """One attempt, when it may start."""
        return self.attempt(request, self._own)

    async def attempt(self, request: Request, share: Share) -> Response:
        """One attempt of an application, when it may start."""
        probe = False
        if self._line or self.in_flight >= self._fast_limit:
            turn = self._join(request.deadline)
            try:
                kind = await turn
            except BaseException:
                self._leave(turn)
                raise
            if not kind:
                why = "its deadline passed while it waited for a slot"
                return Response(Outcome.not_sent, done=self._now(), error=why)
            probe = kind == PROBE
        else:
            self.in_flight += 1
        share.in_flight += 1
        try:
            if self._plain:
                return await share.inner(request)
            if not self.sampled:
                self._sampler.lateness = lag_for(self)
            in_flight, size, generation, epoch = self.in_flight, self._size, self.generation, self._streak.epoch
            try:
                response = await share.inner(request)
            except BaseException:
                self._streak.left(epoch)
                raise
            self._learn(request, response, in_flight, size, generation, epoch)
            return response
        finally:
            self.in_flight -= 1
            share.in_flight -= 1
            if probe:
                self._pause.probe_ended()
            if self._line or self._watchers.count:
                self._hand_on()

    def _learn(
        self, request: Request, response: Response, in_flight: int, size: int, generation: int, epoch: int
    ) -> None:
        """Learn from the response of an attempt; the numbers are those at its start."""
        streak = 0
        ok = response.outcome is _OK
        if ok:
            # As `Streak.accepted` does, without a call.
            self._streak.accepted_sent, self._streak.failures = response.sent, 0
        else:
            streak = self._count_failure(response, epoch)
        sample = self._sample(request, response, in_flight, size, generation, streak, self.bound)
        if sample is not None:
            limit, paced = self.limit, self._paced
            limit.update(sample)
            if limit.value != self._size or (paced is not None and paced.rate_per_s != self._turnstile.rate_per_s):
                self._apply(limit)
        if ok and self._fast_limit:
            self._accepted_at = response.done
        elif self._respects:
            self._on_outcome(response)
        if response.headers is not None and self._respects:
            self._read_quota_headers(response)

    @property
    def bound(self) -> Bound:
        """What keeps the next attempt from starting now."""
        # Attempts that wait in a strategy watch for a vacancy, others stand in line.
        if not (self._line or self._watchers.count or self._notified):
            return _DEMAND
        if self._turnstile.closed and (bound := self._turnstile.bound(self._now())) is not None:
            paused = bound is Bound.pace and self._explained is not None and self._explained.cause == Cause.outage
            return Bound.pause if paused else bound
        if self.in_flight + self._notified < self._size:
            # The next one starts in this turn of the loop.
            return _DEMAND
        return _MAXIMUM if self._size >= self._maximum else _LIMIT

    def resized(self) -> None:
        """Apply a change that was made to `limit` from outside, or another limit in its place."""
        if self.limit.value != self._size:
            self.generation += 1
            self._resize(self.limit.value)
        self._describe()
        rate_per_s = _rate_of(self.limit)
        if self._turnstile.closed or rate_per_s != self._turnstile.rate_per_s:
            self._pace(rate_per_s)
        self._hand_on()

    def _apply(self, limit: Limit) -> None:
        """Take over the number and the rate of the limit."""
        if limit.value != self._size:
            self.generation += 1
            self._resize(limit.value)
        if self._paced is not None and self._paced.rate_per_s != self._turnstile.rate_per_s:
            self._pace(self._paced.rate_per_s)

    def _count_failure(self, response: Response, epoch: int) -> int:
        """Failures in a row, if nothing else may still be accepted; 0 for an attempt that is no failure."""
        if SIGNALS[response.outcome] is Signal.overload:
            return self._streak.failed(epoch, self.in_flight - 1, response.sent)
        if response.outcome in ACCEPTED:
            self._streak.accepted(response.sent)
        else:
            self._streak.left(epoch)
        return 0

    def _on_outcome(self, response: Response) -> None:
        """A response that was accepted or refused may open or close the turnstile."""
        now = self._now()
        self._pause.accepted_at = max(self._pause.accepted_at, self._accepted_at)
        if response.outcome in ACCEPTED:
            self._pause.accepted(response.sent, response.done)
        elif response.outcome is _REJECTED and response.retry_after_s:
            self._pause.refused(response.sent, now, response.retry_after_s)
        self._refresh(now)

    def _read_quota_headers(self, response: Response) -> None:
        """An exhausted quota closes the turnstile."""
        if exhausted := self._quotas.exhausted(response.headers or {}, response.outcome is _REJECTED):
            self._turnstile.quotas_exhausted(exhausted, now := self._now())
            self._refresh(now)

    def _describe(self) -> None:
        """Read the optional abilities of the limit."""
        self._paced = self.limit if isinstance(self.limit, PacedLimit) else None
        self._explained = self.limit if isinstance(self.limit, ExplainedLimit) else None
        self._maximum = self.limit.maximum if isinstance(self.limit, BoundedLimit) else math.inf
        self._sampler.read_queue(isinstance(self.limit, QueueLimit) and bool(self.limit.uses_queue))
        self._sampler.measure_size(isinstance(self.limit, SizedLimit) and bool(self.limit.uses_work))


def _rate_of(limit: Limit) -> float:
    return limit.rate_per_s if isinstance(limit, PacedLimit) else math.inf

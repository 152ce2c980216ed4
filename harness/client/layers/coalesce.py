"""Equal requests in flight share one exchange.

Rules of this file
  1. The exchange runs in a task of its own, so cancelling one caller, even the first, does not fail the others. It is
     cancelled when no caller is left.
  2. Its attempts are counted once: the first caller to get the answer gets the timestamps, the others get an answer
     without an exchange.
  3. All callers share the result, failures too, so that an overloaded server gets no extra requests. The exception: if
     the deadline of the first caller prevented the exchange, the others send the request again.
"""

from __future__ import annotations

import asyncio
import math
from typing import ClassVar

from harness.base.clock import Clock, clock
from harness.client.cache.equality import answered, key_of, repeatable, scope_of
from harness.client.cancellation import attach, partial_of
from harness.client.figures import Ratio
from harness.client.types import Outcome, Request, Response, Send


class Coalesce:
    """Equal requests in flight share one exchange; requests at a temperature only with `sampled`.

    Args:
        inner: Sends one attempt.
        scope: Name that separates the requests of tenants or versions. Default "".
        sampled: Whether requests at a temperature share an exchange too. Default False.
    """

    place: ClassVar[int] = 30
    ratios: ClassVar[tuple[Ratio, ...]] = (Ratio("joined_share", "joined", ("joined", "started")),)

    def __init__(self, inner: Send, scope: str = "", sampled: bool = False) -> None:
        self._inner = inner
        self._scope = scope_of(scope)
        self._sampled = sampled
        self._flights: dict[bytes, _Flight] = {}
        self._now: Clock | None = None
        self.joined = 0  # requests that were answered with another's exchange
        self.started = 0  # exchanges that others could join

    async def __call__(self, request: Request, /) -> Response:
        if not repeatable(request, self._sampled):
            return await self._inner(request)
        now = self._now = self._now or clock()
        key = key_of(request, self._scope)
        while True:
            flight = self._flights.get(key)
            if leads := flight is None:
                self.started += 1
                flight = self._flights[key] = _Flight(self._inner, request, self._flights, key)
            response = await flight.wait(request.deadline)
            if response is None:
                return Response(
                    Outcome.not_sent, done=now(), error="its deadline passed while an equal request was out"
                )
            if response.outcome is not Outcome.not_sent or leads:
                break
        if flight.flying or flight.charge():  # still flying: the stamps go to one who waits for its end
            return response
        self.joined += 1
        return _shared(response, now())

    def figures(self) -> dict[str, int]:
        """Requests that another's exchange answered, and the exchanges."""
        return {"joined": self.joined, "started": self.started}


def _shared(response: Response, now: float) -> Response:
    """The same response without exchanges, for callers that joined."""
    if response.outcome is Outcome.ok:
        return answered(response.answers, now)
    return Response(
        response.outcome,
        response.status,
        done=now,
        retry_after_s=response.retry_after_s,
        error=f"{response.error or response.outcome.name} (with an equal request)",
    )


class _Flight:
    """One exchange and the callers that wait for it."""

    def __init__(self, inner: Send, request: Request, flights: dict[bytes, _Flight], key: bytes) -> None:
        self._partial: Response | None = None
        self._waiting = 0
        self._charged = False
        self._flights, self._key = flights, key
        self._task = asyncio.ensure_future(self._fly(inner, request))
        self._task.add_done_callback(self._over)

    async def _fly(self, inner: Send, request: Request) -> Response:
        try:
            return await inner(request)
        except asyncio.CancelledError as cancelled:
            self._partial = partial_of(cancelled)
            raise

    def _over(self, task: asyncio.Task[Response]) -> None:
        self._leave_the_table()
        if not task.cancelled():
            # Marks the exception as retrieved: a bug in a layer is raised in every caller that waits.
            task.exception()

    def _leave_the_table(self) -> None:
        if self._flights.get(self._key) is self:
            del self._flights[self._key]

    async def wait(self, deadline: float) -> Response:
        """The answer, or a time-out if the caller's own deadline comes first."""
        self._waiting += 1
        try:
            timeout = None if deadline == math.inf else max(0.0, deadline - clock()())
            await asyncio.wait({self._task}, timeout=timeout)
            return self._task.result() if self._task.done() else await self._too_late()
        except asyncio.CancelledError as cancelled:
            if self._waiting == 1:
                attach(cancelled, await self._abandon())
            raise
        finally:
            self._waiting -= 1
            if (
                not self._waiting and not self._task.done()
            ):  # cancelled twice: the exchange must not outlive its callers
                self._leave_the_table()
                self._task.cancel()

    async def _too_late(self) -> Response:
        left = await self._abandon() if self._waiting == 1 else None
        response = left or Response(Outcome.timed_out)
        response.outcome, response.done = Outcome.timed_out, clock()()
        response.error = "its deadline passed while an equal request was in flight"
        return response

    async def _abandon(self) -> Response | None:
        """Cancel the exchange when no caller is left; returns its attempts unless a caller already counts them."""
        self._leave_the_table()
        self._task.cancel()
        await asyncio.wait({self._task})
        if self._task.cancelled():
            return self._partial
        return None if self._charged else self._task.result()

    @property
    def flying(self) -> bool:
        """Whether the exchange is still running."""
        return not self._task.done()

    def charge(self) -> bool:
        """True for the first caller only: it counts the attempts."""
        first, self._charged = not self._charged, True
        return first

"""One attempt: its stamps, its time-out, its deadline, and how each of its ends becomes an outcome.

The HTTP transports and the simulation's direct way to a server share this, so that all have the same outcomes.

All requests of a transport have the same time-out, so they expire in the order in which they began: one timer for the
oldest is enough for thousands in flight. (aiohttp's own time-outs, a timer and two context managers per request, are a
tenth of the cost of a small request.)
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Generic, Self, TypeVar

from harness.base import units
from harness.base.clock import Clock, clock
from harness.client.cancellation import attach
from harness.client.redaction import excerpt
from harness.client.types import Outcome, Request, Response

ERROR_CHARACTERS = 300
MILLISECOND_S = 0.001
T = TypeVar("T")


def fail(response: Response, outcome: Outcome, error: str, now: float) -> None:
    """End an attempt with a reason; if an answer was read, its instant is kept."""
    response.outcome = outcome
    response.error = excerpt(error, ERROR_CHARACTERS)
    if math.isnan(response.done):
        response.done = now


def too_late(now: float) -> Response:
    """The response to a request whose deadline passed before it could be sent."""
    return Response(Outcome.not_sent, done=now, error="its deadline passed before it could be sent")


def timed_out(response: Response, sent: float, now: float) -> None:
    """End an attempt that got no complete answer in time."""
    fail(response, Outcome.timed_out, f"no complete answer within {units.seconds(now - sent)}", now)


class Expiry(Generic[T]):
    """Ends what takes too long; use it within a running loop.

    Args:
        timeout_s: Seconds from the beginning to the end, the same for all.
        expire: Called with one that took too long.
    """

    __slots__ = ("_expire", "_loop", "_timeout_s", "timer", "watched")

    def __init__(self, timeout_s: float, expire: Callable[[T], None]) -> None:
        self._timeout_s = timeout_s
        self._expire = expire
        self._loop = asyncio.get_running_loop()
        # With the instants at which they began, in this order.
        self.watched: dict[T, float] = {}
        # None: nothing is watched.
        self.timer: asyncio.TimerHandle | None = None

    def watch(self, one: T, now: float) -> None:
        """One begins now. An earlier instant would be of no effect: the timer follows the order of the calls."""
        self.watched[one] = now
        if self.timer is None:
            self.start()

    def start(self) -> None:
        """Start the timer."""
        self._arm(self._timeout_s)

    def close(self) -> None:
        """Stop the timer."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _arm(self, delay_s: float) -> None:
        self.timer = self._loop.call_later(delay_s, self._ring)

    def _ring(self) -> None:
        """Expire those that are due (to the loop's millisecond), then set the timer for the oldest that remains.

        A timer that aimed at the beginning of that millisecond could, by rounding, ring for ever at one instant of
        virtual time.
        """
        self.timer = None
        now = self._loop.time()
        late = now + MILLISECOND_S - self._timeout_s
        due = []
        for one, began in self.watched.items():
            if began > late:
                self._arm(began + self._timeout_s - now)
                break
            due.append(one)
        for one in due:
            del self.watched[one]
            self._expire(one)


class Watch:
    """A task under watch."""

    __slots__ = ("expired", "task", "when")

    def __init__(self, task: asyncio.Task[Any], when: float) -> None:
        self.task = task
        self.when = when
        self.expired = False

    def expire(self) -> None:
        """Cancel the request's task, once; the transport turns the cancellation into a time-out.

        A deadline and a time-out can both end in one turn of the loop. A second cancellation would not be undone.
        """
        if self.expired:
            return
        self.expired = True
        self.task.cancel()


class Timeouts(Expiry[Watch]):
    """Cancels tasks whose requests take too long."""

    __slots__ = ()

    def __init__(self, timeout_s: float) -> None:
        super().__init__(timeout_s, Watch.expire)

    def begin(self, now: float) -> Watch:
        """Watch the current task from now on."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - transports are only called from tasks
        watch = Watch(task, now + self._timeout_s)
        self.watched[watch] = now
        if self.timer is None:
            self.start()
        return watch

    def end(self, watch: Watch) -> None:
        """The exchange is over."""
        self.watched.pop(watch, None)


class AttemptSend:
    """A `Send` that makes one attempt for each call; use it with `async with`. Subclasses do the exchange."""

    faults: ClassVar[tuple[type[Exception], ...]]
    """Exceptions that end an exchange with an outcome. Every other one is a bug and is raised."""
    endpoint: str = ""
    """The server, so that strategies with a limit that learns share one for each server; empty: not known."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._timeouts: Timeouts | None = None
        self._now: Clock = time.monotonic

    async def __aenter__(self) -> Self:
        self._now = clock()
        self._timeouts = Timeouts(self._timeout_s)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._timeouts is not None:
            self._timeouts.close()

    async def __call__(self, request: Request, /) -> Response:
        timeouts = self._timeouts
        if timeouts is None:
            raise RuntimeError(f"{type(self).__name__} must be entered with `async with` first")
        sent = self._now()
        response = Response(Outcome.connection_error, sent=sent)
        watch = timeouts.begin(sent)
        sooner: asyncio.TimerHandle | None = None
        if request.deadline < watch.when:
            if request.deadline <= sent:
                timeouts.end(watch)
                return too_late(sent)
            sooner = asyncio.get_running_loop().call_at(request.deadline, watch.expire)
        if request.progress is not None:
            request.progress.sent = sent
        try:
            return await self._watched(request, response, watch)
        finally:
            timeouts.end(watch)
            if sooner is not None:
                sooner.cancel()

    async def _watched(self, request: Request, response: Response, watch: Watch) -> Response:
        """The exchange; each of its ends becomes an outcome. The time-out counts from the first sending."""
        sent = response.sent
        try:
            await self._exchange(request, response)
        except asyncio.CancelledError as error:
            if not watch.expired or watch.task.uncancel() > 0:
                response.outcome = Outcome.cancelled
                attach(error, response)
                raise
            # After a complete answer only the end of its connection was waited for.
            if response.outcome is not Outcome.ok:
                timed_out(response, sent, self._now())
        except self.faults as error:
            fail(response, *self._outcome_of(error), self._now())
        return response

    def _exchange(self, request: Request, response: Response) -> Awaitable[None]:
        """Send the request and fill in the response."""
        raise NotImplementedError

    def _outcome_of(self, error: Exception) -> tuple[Outcome, str]:
        """The outcome of an exchange that this fault ended, and the reason in words."""
        raise NotImplementedError

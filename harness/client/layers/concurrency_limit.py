"""At most as many attempts in flight as a limit says.

Rules of this file
  1. A slot is handed from the one who leaves to the first who waits, in order of arrival, without being free between.
  2. Whoever is cancelled while waiting leaves the line; if the slot was already his, he hands it on. Nothing is lost.
  3. The limit may change at any time: a smaller one takes effect as attempts end, a larger one at once.
"""

from __future__ import annotations

import asyncio
from collections import deque

from harness.client.limits.fixed import Fixed
from harness.client.types import Limit, Request, Response, Sample, Send


class ConcurrencyLimit:
    """At most as many attempts in flight as a limit says, first come first served; the limit learns from each."""

    def __init__(self, inner: Send, limit: Limit) -> None:
        self._inner = inner
        self.limit = limit
        self.in_flight = 0
        self.generation = 0  # how often the limit has changed
        self._value = limit.value
        self._learns = not isinstance(limit, Fixed)
        self._line: deque[asyncio.Future[None]] = deque()
        self._watchers: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """Attempts in line for a slot."""
        return len(self._line)

    @property
    def vacant(self) -> bool:
        """A slot is free and nobody waits for one."""
        return not self._line and self.in_flight < self.limit.value

    async def __call__(self, request: Request, /) -> Response:
        if self._line or self.in_flight >= self.limit.value:
            await self._slot()
        else:
            self.in_flight += 1
        if not self._learns:
            try:
                return await self._inner(request)
            finally:
                self._release()
        admitted = (self.in_flight, self._value, self.generation)
        try:
            response = await self._inner(request)
            self._learn(response, *admitted)
            return response
        finally:
            self._release()

    def _learn(self, response: Response, in_flight: int, limit: int, generation: int) -> None:
        self.limit.update(
            Sample(
                outcome=response.outcome,
                sent=response.sent,
                done=response.done,
                in_flight=in_flight,
                limit=limit,
                generation=generation,
                retry_after_s=response.retry_after_s,
            )
        )
        if self.limit.value != self._value:
            self._value = self.limit.value
            self.generation += 1

    async def _slot(self) -> None:
        """Wait in line; on return the slot is taken."""
        turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._line.remove(turn)
                self._hand_on()  # the line may be shorter than the free slots now
            else:
                self._release()
            raise

    def _release(self) -> None:
        self.in_flight -= 1
        self._hand_on()

    def _hand_on(self) -> None:
        limit = self.limit.value
        while self._line and self.in_flight < limit:
            turn = self._line.popleft()
            if turn.cancelled():
                self._line.appendleft(turn)  # its owner is about to leave the line and call this again
                return
            self.in_flight += 1
            turn.set_result(None)
        if self._watchers and not self._line and self.in_flight < limit:
            self._wake_watcher()

    def resized(self) -> None:
        """Tell that the limit was changed from outside, so that those in line can use what is new."""
        if self.limit.value != self._value:
            self._value = self.limit.value
            self.generation += 1
        self._hand_on()

    async def vacancy(self) -> None:
        """Return when `vacant` is true; those who wait here are woken one at a time, in order."""
        while not self.vacant:
            watch = asyncio.get_running_loop().create_future()
            self._watchers.append(watch)
            try:
                await watch
            except asyncio.CancelledError:
                if watch.cancelled():
                    self._watchers.remove(watch)
                elif self.vacant:
                    self._wake_watcher()
                raise
        if self._watchers and self.limit.value - self.in_flight > 1:
            self._wake_watcher()  # more than one slot is free: the next in order need not wait for a release

    def _wake_watcher(self) -> None:
        while self._watchers:
            watch = self._watchers.popleft()
            if not watch.done():
                watch.set_result(None)
                return
            if watch.cancelled():
                self._watchers.append(watch)  # its owner removes it
                if all(other.cancelled() for other in self._watchers):
                    return

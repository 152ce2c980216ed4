"""At most as many attempts in flight as a limit says.

Rules of this file
  1. A slot is handed from the one who leaves to the first who waits, in order of arrival, without being free between.
  2. Whoever is cancelled while waiting leaves the line; if the slot was already his, he hands it on. Nothing is lost.
  3. The limit may change at any time: a smaller one takes effect as attempts end, a larger one at once.
  4. Those who watch for a vacancy get no slot, only word that one is free. Whoever got word sees to it that the next
     one gets it if the slot is still free one turn of the loop later: word that was not used is never lost.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict

from harness.client.clock import clock
from harness.client.limits.fixed import Fixed
from harness.client.types import Limit, Outcome, Request, Response, Sample, Send

_Line = OrderedDict["asyncio.Future[bool]", None]  # first come first served; who is cancelled leaves in O(1)


class ConcurrencyLimit:
    """At most as many attempts in flight as a limit says, first come first served; the limit learns from each."""

    def __init__(self, inner: Send, limit: Limit) -> None:
        self._inner = inner
        self.limit = limit
        self.in_flight = 0
        self.generation = 0  # how often the limit has changed
        self._value = limit.value
        self._learns = not isinstance(limit, Fixed)
        self._line: _Line = OrderedDict()
        self._watchers: _Line = OrderedDict()
        self._told = 0  # watchers that got word and have not run since

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
            if not await self._slot(request.deadline):
                return Response(
                    Outcome.not_sent, done=clock()(), error="its deadline passed while it waited for a slot"
                )
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

    async def _slot(self, deadline: float) -> bool:
        """Wait in line: True when the slot is taken, False if the deadline came first."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        self._line[turn] = None
        timer = loop.call_at(deadline, self._give_up, turn) if deadline < math.inf else None
        try:
            return await turn
        except BaseException:
            if _served(turn):  # the slot came in the same turn of the loop as the cancellation
                self._release()
            else:
                self._line.pop(turn, None)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _give_up(self, turn: asyncio.Future[bool]) -> None:
        if not turn.done():
            del self._line[turn]
            turn.set_result(False)

    def _release(self) -> None:
        self.in_flight -= 1
        if self._line or self._watchers:
            self._hand_on()

    def _hand_on(self) -> None:
        """Give free slots to those in line, then word to as many watchers as slots are left."""
        line, watchers, limit = self._line, self._watchers, self.limit.value
        while line and self.in_flight < limit:
            turn, _ = line.popitem(last=False)
            if not turn.done():
                self.in_flight += 1
                turn.set_result(True)
        while watchers and not line and self.in_flight + self._told < limit:
            watch, _ = watchers.popitem(last=False)
            if not watch.done():
                self._told += 1
                watch.set_result(True)

    def resized(self) -> None:
        """Tell that the limit was changed from outside, so that those in line can use what is new."""
        if self.limit.value != self._value:
            self._value = self.limit.value
            self.generation += 1
        self._hand_on()

    async def vacancy(self) -> None:
        """Return when `vacant` is true, first come first served; the slot is not reserved."""
        loop = asyncio.get_running_loop()
        overtaken = False
        while not self.vacant or (self._watchers and not overtaken):
            watch: asyncio.Future[bool] = loop.create_future()
            self._watchers[watch] = None
            if overtaken:  # somebody else took the slot in between: back to the front
                self._watchers.move_to_end(watch, last=False)
            overtaken = True
            try:
                await watch
            except BaseException:
                if _served(watch):
                    self._told -= 1
                    self._hand_on()
                else:
                    self._watchers.pop(watch, None)
                raise
            self._told -= 1
        if self._watchers:
            loop.call_soon(self._hand_on)


def _served(future: asyncio.Future[bool]) -> bool:
    """It got what it waited for, although its owner was cancelled; a cancelled future never did."""
    return future.done() and not future.cancelled() and future.result()

"""At most as many attempts in flight as a limit says, started no faster than it and the server say.

Rules of this file
  1. A slot is handed from the one who leaves to the first who waits, in order of arrival, without being free between.
  2. Whoever is cancelled while waiting leaves the line; if the slot was already his, he hands it on. Nothing is lost.
  3. The limit may change at any time: a smaller one takes effect as attempts end, a larger one at once.
  4. Those who watch for a vacancy get no slot, only word that one is free. Whoever got word sees to it that the next
     one gets it if the slot is still free one turn of the loop later: word that was not used is never lost.
  5. When one may start by rate, pause or quota is the turnstile's to say. While it is open nobody asks it; while it is
     shut `_most` is 0, so that everyone does, and one timer wakes the line when its head may go.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict

from harness.client.clock import Clock, clock
from harness.client.gate.lateness import LoopLag, lag_for
from harness.client.gate.pause import PLAIN, PROBE
from harness.client.gate.quota_headers import Told
from harness.client.gate.size import Sizes, work_of
from harness.client.gate.turnstile import Turnstile
from harness.client.limits.fixed import Fixed
from harness.client.types import Limit, Outcome, Request, Response, Sample, Send

_Line = OrderedDict["asyncio.Future[int]", None]  # first come first served; who is cancelled leaves in O(1)
_OK, _REJECTED = Outcome.ok, Outcome.rejected
ACCEPTED = frozenset({Outcome.ok, Outcome.client_error, Outcome.bad_response})
"""The server took it up, whatever came of it. Of a 5xx, a time-out or a broken connection nobody knows."""
SMOOTHING = 0.05  # of the usual latency
GRAIN_S = 0.001  # no timer is shorter: those of uvloop have whole milliseconds, and may ring before their time


class ConcurrencyLimit:
    """At most as many attempts in flight as a limit says, first come first served; the limit learns from each.

    A limit's `rate_per_s`, if it has one and that is finite, bounds how fast attempts start; one whose `uses_work` is
    true is told how large they were. With `heeds` a server that refuses all and says until when is left alone until
    then; by default that is so for every limit but a fixed one, which does what it was told, and learns nothing.
    """

    def __init__(self, inner: Send, limit: Limit, heeds: bool | None = None) -> None:
        self._inner = inner
        self.limit = limit
        self.in_flight = 0
        self.generation = 0  # how often the limit has changed
        self._value = self._most = limit.value  # starts without a question while fewer than `_most` are in flight
        self._heeds = not isinstance(limit, Fixed) if heeds is None else heeds
        self._plain = isinstance(limit, Fixed) and not self._heeds
        self._turnstile = Turnstile()
        self._pause = self._turnstile.pause
        self._told = Told()
        self._accepted_at = -math.inf  # while the turnstile is open
        self._clock: Clock | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._line: _Line = OrderedDict()
        self._watchers: _Line = OrderedDict()
        self._words = 0  # watchers that got word and have not run since
        self._sizes: Sizes | None = None
        self.sampled = False  # the loop's lateness is known
        self._lag: LoopLag
        self._usual_s = 0.0  # latency
        self._describe()

    @property
    def waiting(self) -> int:
        """Attempts in line for a slot."""
        return len(self._line)

    @property
    def vacant(self) -> bool:
        """A slot is free, nobody waits for one, and an attempt may start now."""
        if self._line or self.in_flight >= self.limit.value:
            return False
        if not self._turnstile.shut:
            return True
        now = self._now()
        return self._turnstile.earliest(now) <= now

    async def __call__(self, request: Request, /) -> Response:
        probe = False
        if self._line or self.in_flight >= self._most:
            kind = await self._slot(request.deadline)
            probe = kind == PROBE
            if not kind:
                why = "its deadline passed while it waited for a slot"
                return Response(Outcome.not_sent, done=self._now(), error=why)
        else:
            self.in_flight += 1
        try:
            if self._plain:
                return await self._inner(request)
            if not self.sampled:
                self._lag = lag_for(self)
            in_flight, value, generation = self.in_flight, self._value, self.generation
            response = await self._inner(request)
            self._learn(request, response, in_flight, value, generation)
            if response.outcome is _OK and self._most:
                self._accepted_at = response.done
            elif self._heeds:
                self._heed(response)
            if response.headers is not None and self._heeds:
                self._hear(response)
            return response
        finally:
            self.in_flight -= 1
            if probe:
                self._pause.probe_ended()
            if self._line or self._watchers:
                self._hand_on()

    # What an answer teaches.

    def _learn(self, request: Request, response: Response, in_flight: int, value: int, generation: int) -> None:
        sent, done, lag = response.sent, response.done, self._lag
        if not sent <= done:  # NaN: it was never sent, so there is nothing to learn
            return
        lag_s = lag.around(sent, done, self._usual_s) if done > lag.due or lag.aftermath else 0.0
        work = 1.0
        if response.outcome is _OK:
            if not lag_s:
                self._usual_s += (SMOOTHING if self._usual_s else 1.0) * (done - sent - self._usual_s)
            if self._sizes is not None:
                work = self._sizes.relative(work_of(request, response), done - sent - lag_s)
        limit = self.limit
        limit.update(
            Sample(response.outcome, sent, done, in_flight, value, generation, response.retry_after_s, work, lag_s)
        )
        if limit.value != self._value:
            self._resize()
        if self._paces and limit.rate_per_s != self._turnstile.rate_per_s:  # type: ignore[attr-defined] # it has one
            self._repace()

    def _heed(self, response: Response) -> None:
        """Accepted or refused: may the next one start?"""
        now = self._now()
        self._pause.accepted_at = max(self._pause.accepted_at, self._accepted_at)
        if response.outcome in ACCEPTED:
            self._pause.accepted(response.sent, response.done)
        elif response.outcome is _REJECTED and response.retry_after_s:
            self._pause.refused(response.sent, now, response.retry_after_s)
        self._look(now)

    def _hear(self, response: Response) -> None:
        """Is a quota used up?"""
        if used_up := self._told.used_up(response.headers or {}, response.outcome is _REJECTED):
            self._turnstile.used_up(used_up, now := self._now())
            self._look(now)

    def _resize(self) -> None:
        self._value = self.limit.value
        self.generation += 1
        self._most = 0 if self._turnstile.shut else self._value

    def _repace(self) -> None:
        now = self._now()
        self._turnstile.change(getattr(self.limit, "rate_per_s", math.inf), now)
        self._look(now)

    def _describe(self) -> None:
        """What the limit gives and wants beside a number."""
        self._paces = hasattr(self.limit, "rate_per_s")
        self._sizes = (self._sizes or Sizes()) if getattr(self.limit, "uses_work", False) else None
        if getattr(self.limit, "rate_per_s", math.inf) != self._turnstile.rate_per_s:
            self._most = 0  # the first who comes knows the clock

    # Who starts when.

    def _now(self) -> float:
        if self._clock is None:
            self._clock = clock()
            if self._paces:
                self._repace()
        return self._clock()

    def _look(self, now: float) -> None:
        """The turnstile may be open now, or shut."""
        self._turnstile.look(now)
        self._most = 0 if self._turnstile.shut else self._value

    async def _slot(self, deadline: float) -> int:
        """Take a slot, after a wait in line if need be: what kind of start it is, 0 if the deadline came first."""
        if not self._line and self.in_flight < self._value:
            now = self._now()
            start = self._turnstile.earliest(now)
            if start <= now:
                self.in_flight += 1
                kind = self._turnstile.take(now)
                self._look(now)
                return kind
            self._wake_at(start)
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[int] = loop.create_future()
        self._line[turn] = None
        timer = loop.call_at(deadline, self._give_up, turn) if deadline < math.inf else None
        try:
            return await turn
        except BaseException:
            if kind := _served(turn):  # the slot came in the same turn of the loop as the cancellation
                self.in_flight -= 1
                self._turnstile.give_back(kind)
                self._hand_on()
            else:
                self._line.pop(turn, None)
                self._rest()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _give_up(self, turn: asyncio.Future[int]) -> None:
        if not turn.done():
            del self._line[turn]
            turn.set_result(0)
            self._rest()

    def _hand_on(self) -> None:
        """Give free slots to those in line, then word to as many watchers as slots are left; each when it may start."""
        line, watchers, turnstile = self._line, self._watchers, self._turnstile
        now = 0.0
        if turnstile.shut:
            now = self._now()
            self._look(now)
        while line and self.in_flight < self._value:
            if turnstile.shut and (start := turnstile.earliest(now)) > now:
                self._wake_at(start)
                return
            turn, _ = line.popitem(last=False)
            if not turn.done():
                self.in_flight += 1
                turn.set_result(turnstile.take(now) if turnstile.shut else PLAIN)
        while watchers and not line and self.in_flight + self._words < self._value:
            if turnstile.shut and (start := turnstile.earliest(now, self._words)) > now:
                self._wake_at(start)
                return
            watch, _ = watchers.popitem(last=False)
            if not watch.done():
                self._words += 1
                watch.set_result(PLAIN)

    def _wake_at(self, start: float) -> None:
        """Look at the line again then."""
        timer = self._timer
        if timer is not None:
            if timer.when() <= start:
                return
            timer.cancel()
        at = max(start, self._now() + GRAIN_S)
        self._timer = asyncio.get_running_loop().call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._hand_on()

    def _rest(self) -> None:
        """No timer where nobody waits."""
        if self._timer is not None and not self._line and not self._watchers:
            self._timer.cancel()
            self._timer = None

    def resized(self) -> None:
        """Tell that the limit was changed from outside, so that those in line can use what is new."""
        if self.limit.value != self._value:
            self._resize()
        self._describe()
        if self._most == 0:
            self._repace()
        self._hand_on()

    async def vacancy(self) -> None:
        """Return when `vacant` is true, first come first served; the slot is not reserved."""
        loop = asyncio.get_running_loop()
        overtaken = False
        while not self.vacant or (self._watchers and not overtaken):
            watch: asyncio.Future[int] = loop.create_future()
            self._watchers[watch] = None
            if overtaken:  # somebody else took the slot in between: back to the front
                self._watchers.move_to_end(watch, last=False)
            overtaken = True
            if self._turnstile.shut:
                self._hand_on()  # it may be time alone that is waited for
            try:
                await watch
            except BaseException:
                if _served(watch):
                    self._words -= 1
                    self._hand_on()
                else:
                    self._watchers.pop(watch, None)
                    self._rest()
                raise
            self._words -= 1
        if self._watchers:
            loop.call_soon(self._hand_on)


def _served(future: asyncio.Future[int]) -> int:
    """What it got, although its owner was cancelled; a cancelled future never got anything."""
    return future.result() if future.done() and not future.cancelled() else 0

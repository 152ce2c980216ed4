"""Slots for attempts in flight: who starts now, who waits in line, and who is notified of a free slot.

Rules of this file
  1. A slot passes from the attempt that ends straight to the first in line. It is never free in between.
  2. A waiter that is cancelled leaves the line. If it already had a slot, it passes the slot on: none is lost.
  3. The number of slots may change at any time: fewer take effect as attempts end, more take effect at once.
  4. `vacancy` notifies and reserves nothing. A notified watcher that leaves the slot unused for one turn of the loop
     passes the notification on, so none is lost either.
  5. The turnstile decides when an attempt may start. While it is open, it is not consulted. While it is closed,
     `_fast_limit` is 0, so every attempt takes the slow path, and one timer wakes the line when its head may start.
  6. Several applications may share the slots. Then a slot that no attempt in line takes goes to the watcher of the one
     that has the fewest, and an application that has just ended an attempt does not take the slot again before the
     others (`unclaimed`). The line itself is in order of arrival, of all applications together.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict

from harness.base.clock import Clock, clock
from harness.client.gate.pause import ORDINARY
from harness.client.gate.turnstile import Turnstile
from harness.client.gate.watchers import Share, Watchers

# In order of arrival; a waiter that is cancelled leaves in O(1).
_Line = OrderedDict["asyncio.Future[int]", None]
# No timer is shorter: those of uvloop have whole milliseconds, and may fire early.
GRAIN_S = 0.001


class Slots:
    """Slots, given in order of arrival and no faster than the turnstile allows."""

    def __init__(self, size: int, own: Share, rate_per_s: float = math.inf) -> None:
        self.in_flight = 0
        # Applications that use it.
        self.shares = 1
        self._own = own
        self._size = size
        # Attempts start without a question while fewer than this are in flight. The first attempt applies a finite
        # rate, because only a running loop has a clock.
        self._fast_limit = size if rate_per_s == math.inf else 0
        self._turnstile = Turnstile()
        self._rate_per_s = rate_per_s
        self._clock: Clock | None = None
        self._timer: asyncio.Handle | None = None
        self._wakes_at = math.inf
        self._line: _Line = OrderedDict()
        self._watchers = Watchers()
        # Watchers that were notified and have not run since.
        self._notified = 0

    @property
    def waiting(self) -> int:
        """Attempts in line for a slot."""
        return len(self._line)

    @property
    def vacant(self) -> bool:
        """A slot is free, the line is empty, and an attempt may start now."""
        if self._line or self.in_flight >= self._size:
            return False
        if not self._turnstile.closed:
            return True
        now = self._now()
        return self._turnstile.earliest(now) <= now

    @property
    def unclaimed(self) -> bool:
        """It is vacant, and nobody waits for the slot or was notified of it."""
        return not self._watchers.count and self.in_flight + self._notified < self._size and self.vacant

    async def vacancy(self, share: Share | None = None) -> None:
        """Return when `vacant` is true, in order of arrival, or in that of several shares. The slot is not reserved."""
        loop = asyncio.get_running_loop()
        share = share or self._own
        overtaken = False
        while not self.vacant or (not overtaken and (self._watchers.count or (self.shares > 1 and not self.unclaimed))):
            watch: asyncio.Future[int] = loop.create_future()
            # Another attempt took the slot in between: this one returns to the front.
            self._watchers.add(watch, share, first=overtaken)
            overtaken = True
            if self._turnstile.closed:
                # Time alone may open it.
                self._hand_on()
            try:
                await watch
            except BaseException:
                if _result_of(watch):
                    self._notified -= 1
                    share.notified -= 1
                    self._hand_on()
                else:
                    self._watchers.discard(watch, share)
                    self._stop_timer_if_idle()
                raise
            self._notified -= 1
            share.notified -= 1
        if self._watchers.count:
            loop.call_soon(self._hand_on)

    # Settings that change while attempts run.

    def _resize(self, size: int) -> None:
        self._size = size
        self._fast_limit = 0 if self._turnstile.closed else size

    def _pace(self, rate_per_s: float) -> None:
        """Start attempts at this rate from now on; infinity removes the bound."""
        self._rate_per_s = rate_per_s
        now = self._now()
        self._turnstile.change_rate(rate_per_s, now)
        self._refresh(now)

    def _refresh(self, now: float) -> None:
        """The turnstile may have opened or closed."""
        self._turnstile.refresh(now)
        self._fast_limit = 0 if self._turnstile.closed else self._size

    def _now(self) -> float:
        if self._clock is None:
            self._clock = clock()
            if self._rate_per_s != math.inf:
                self._pace(self._rate_per_s)
        return self._clock()

    # The slow path: take a slot, wait for one, hand one on.

    def _join(self, deadline: float) -> asyncio.Future[int]:
        """Take a slot, or join the line for one. The result is the kind of start, or 0 if the deadline passed.

        It is no coroutine of its own, as each attempt in line would pay for it. Its caller awaits the future, and calls
        `_leave` if that is broken off.
        """
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[int] = loop.create_future()
        if not self._line and self.in_flight < self._size:
            now = self._now()
            start = self._turnstile.earliest(now)
            if start <= now:
                self.in_flight += 1
                turn.set_result(self._turnstile.take(now))
                self._refresh(now)
                return turn
            self._wake_at(start)
        self._line[turn] = None
        if deadline < math.inf:
            timer = loop.call_at(deadline, self._expire, turn)
            turn.add_done_callback(lambda _: timer.cancel())
        return turn

    def _leave(self, turn: asyncio.Future[int]) -> None:
        """The attempt of this turn was cancelled."""
        if kind := _result_of(turn):
            # The slot came in the same turn of the loop as the cancellation.
            self.in_flight -= 1
            self._turnstile.give_back(kind)
            self._hand_on()
        else:
            self._line.pop(turn, None)
            self._stop_timer_if_idle()

    def _expire(self, turn: asyncio.Future[int]) -> None:
        if turn in self._line and not turn.done():
            del self._line[turn]
            turn.set_result(0)
            self._stop_timer_if_idle()

    def _hand_on(self) -> None:
        """Give free slots to the line, then notify as many watchers as slots are left, each when it may start."""
        line, watchers, turnstile = self._line, self._watchers, self._turnstile
        now = 0.0
        if turnstile.closed:
            now = self._now()
            self._refresh(now)
        while line and self.in_flight < self._size:
            if turnstile.closed and (start := turnstile.earliest(now)) > now:
                self._wake_at(start)
                return
            turn, _ = line.popitem(last=False)
            if not turn.done():
                self.in_flight += 1
                turn.set_result(turnstile.take(now) if turnstile.closed else ORDINARY)
        while not line and watchers.count and self.in_flight + self._notified < self._size:
            if turnstile.closed and (start := turnstile.earliest(now, self._notified)) > now:
                self._wake_at(start)
                return
            watch, share = watchers.pop()
            if not watch.done():
                self._notified += 1
                share.notified += 1
                watch.set_result(ORDINARY)

    def _wake_at(self, start: float) -> None:
        """Hand on again at `start`; an earlier timer stays."""
        timer = self._timer
        if timer is not None:
            if self._wakes_at <= start:
                return
            timer.cancel()
        # A handle of uvloop for an instant that has just passed does not know it.
        self._wakes_at = max(start, self._now() + GRAIN_S)
        self._timer = asyncio.get_running_loop().call_at(self._wakes_at, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._hand_on()

    def _stop_timer_if_idle(self) -> None:
        if self._timer is not None and not self._line and not self._watchers.count:
            self._timer.cancel()
            self._timer = None


def _result_of(future: asyncio.Future[int]) -> int:
    """Its result, although its owner was cancelled; 0 if the future itself was cancelled or has none."""
    return future.result() if future.done() and not future.cancelled() else 0

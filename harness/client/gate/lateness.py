"""How late the client's own event loop was when an answer was stamped: what is the client's of a measured latency.

Rules of this file
  1. A coarse sampler: one timer a loop, every 10 ms, only while somebody has something in flight. It comes late when
     the loop does not turn, whatever the reason: own computation, a garbage collection, a machine that is shared. Then
     each turn of the loop is timed until turns are short again.
  2. An answer that is stamped in the very turn that is late was there before that turn: all of the turn is lag. What is
     stamped after it is read in one turn and woken in the next, so it arrived during the turn before these two.
  3. When during a long turn nobody knows. What is due at a rate of 1 / (the usual latency) is expected at its middle if
     the turn was short beside that, and at its beginning if it was long: nothing new is sent meanwhile.
  4. It tells rather too little than too much, so that a server's queueing is not taken for the client's. Turns below
     `LATE_S` and what is late in sending are not seen.
  5. In virtual time no turn takes any, so there is no sampler, and nothing keeps a loop alive that waits for nothing.
"""

from __future__ import annotations

import asyncio
import math
from asyncio import get_running_loop
from typing import Protocol
from weakref import WeakKeyDictionary

from harness.client.clock import clock

PERIOD_S = 0.01
LATE_S = 0.003  # timers have whole milliseconds, and machines their noise
TURNS = 3  # of the loop, all short, until what arrived during a long one is through


class Owner(Protocol):
    """Who wants to know while something of his is in flight."""

    in_flight: int
    sampled: bool  # False once nothing was: then ask anew


class LoopLag:
    """Samples one loop; `due` and `aftermath` tell cheaply whether `around` is worth a call. Get it by `lag_for`."""

    __slots__ = (
        *("_fired_at", "_from", "_last", "_owners", "_real", "_to", "_turns"),
        *("__weakref__", "aftermath", "due"),
    )

    def __init__(self, real: bool = True) -> None:
        self.due = math.inf  # after this instant the next tick is late
        self.aftermath = False  # what arrived during a long turn comes up now
        self._real = real
        self._owners: dict[Owner, None] = {}
        self._fired_at = self._from = self._to = -math.inf
        self._last = (-math.inf, -math.inf)  # begin and end of the last turn
        self._turns = 0

    def watch(self, owner: Owner) -> None:
        """Sample while something of his is in flight; in virtual time there is nothing to sample."""
        owner.sampled = True
        if self._real:
            if not self._owners:
                self._arm(clock()())
            self._owners[owner] = None

    def around(self, sent: float, done: float, usual_s: float = 0.0) -> float:
        """Expected seconds between the arrival of an answer and `done`, its stamp; at most what it took.

        `usual_s` is the usual latency of such exchanges; 0 if that is not known.
        """
        if self.aftermath and sent < self._to:
            first = max(sent, self._from)
            arrived = first + _expected(self._to - first, usual_s)
        elif done > self.due:
            arrived = self._begun(done)
        else:
            return 0.0
        return min(max(0.0, done - arrived), max(0.0, done - sent))

    def _begun(self, now: float) -> float:
        """When the turn that is late at `now` began: a long one anywhere between two ticks, a short one just before."""
        due = self._fired_at + PERIOD_S
        return due - min(PERIOD_S / 2, now - due)

    def _arm(self, now: float) -> None:
        self._fired_at = now
        self.due = now + PERIOD_S + LATE_S
        get_running_loop().call_later(PERIOD_S, self._tick)

    def _tick(self) -> None:
        now = clock()()
        if now > self.due and not self.aftermath:
            self._from, self._to = self._begun(now), now
            self._last = (now, now)
            self._turns = TURNS
            self.aftermath = True
            get_running_loop().call_soon(self._turned)
        for owner in [owner for owner in self._owners if not owner.in_flight]:
            owner.sampled = False
            del self._owners[owner]
        if self._owners:
            self._arm(now)
        else:
            self.due = math.inf

    def _turned(self) -> None:
        """Once a turn of the loop, before those are woken whose answers were read in the last one."""
        now, (begin, end) = clock()(), self._last
        if end - begin > LATE_S:
            self._from, self._to = begin, end
        self._last = (end, now)
        self._turns = TURNS if now - end > LATE_S else self._turns - 1
        if self._turns:
            get_running_loop().call_soon(self._turned)
        else:
            self.aftermath = False


_OF: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopLag] = WeakKeyDictionary()


def lag_for(owner: Owner) -> LoopLag:
    """The one sampler of the running loop, which samples while something of this owner's is in flight."""
    loop = get_running_loop()
    if (lag := _OF.get(loop)) is None:
        lag = _OF[loop] = LoopLag(_real_time(loop))
    lag.watch(owner)
    return lag


def _expected(span_s: float, usual_s: float) -> float:
    """Seconds into a span at which something came that did come: the mean of an exponential that is cut off there."""
    if span_s <= 0.0:
        return 0.0
    ratio = span_s / usual_s if usual_s > 0.0 else 0.0
    if ratio < 0.01:
        return span_s / 2
    return usual_s - span_s / math.expm1(min(ratio, 700.0))


def _real_time(loop: asyncio.AbstractEventLoop) -> bool:
    """Its clock is the machine's: uvloop's, or asyncio's own that nobody replaced."""
    kind = type(loop)
    return kind.__module__.split(".")[0] == "uvloop" or getattr(kind, "time", None) is asyncio.BaseEventLoop.time

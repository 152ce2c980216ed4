"""Estimates how much of a measured latency the client's own event loop caused by being late.

Rules of this file
  1. One coarse timer for each loop, every 10 ms, only while attempts are in flight. It fires late when the loop does
     not turn, for whatever reason: computation of the application, a garbage collection, a shared machine. Then each
     turn of the loop is timed until turns are short again.
  2. A response that is stamped in a late turn had arrived before that turn: the whole turn is lag. A response stamped
     after it was read in one turn and resumed in the next, so it arrived during the turn before these two.
  3. The instant of arrival within a long turn is unknown. With arrivals at a rate of 1 / (usual latency) it is expected
     in the middle of a turn that was short beside that latency, and near the start of a long one, because nothing new
     is sent meanwhile.
  4. The estimate errs on the low side, so that queueing at the server is not attributed to the client. Turns below
     `LATE_S` and lateness in sending are not seen.
  5. In virtual time turns take no time, so there is no timer, and no timer keeps an idle loop alive.
"""

from __future__ import annotations

import asyncio
import math
from asyncio import get_running_loop
from typing import Protocol
from weakref import WeakKeyDictionary

from harness.base.clock import clock

PERIOD_S = 0.01
LATE_S = 0.003  # timers have whole milliseconds, and machines their noise
TURNS = 3  # of the loop, all short, until what arrived during a long one is through


class Owner(Protocol):
    """A gate: sampling goes on while it has attempts in flight."""

    in_flight: int
    # Set to False by the sampler when nothing is in flight; the gate then calls `lag_for` again.
    sampled: bool


class LoopLag:
    """Samples one loop. `due` and `aftermath` are a cheap test whether to call `around`. Get it with `lag_for`."""

    __slots__ = (
        *("_fired_at", "_from", "_last", "_owners", "_real", "_to", "_turns"),
        *("__weakref__", "aftermath", "due"),
    )

    def __init__(self, real: bool = True) -> None:
        # After this instant the next tick is late.
        self.due = math.inf
        # Responses that arrived during a long turn are resumed now.
        self.aftermath = False
        self._real = real
        self._owners: dict[Owner, None] = {}
        self._fired_at = self._from = self._to = -math.inf
        self._last = (-math.inf, -math.inf)  # begin and end of the last turn
        self._turns = 0

    def watch(self, owner: Owner) -> None:
        """Sample while this gate has attempts in flight; in virtual time there is nothing to sample."""
        owner.sampled = True
        if self._real:
            if not self._owners:
                self._arm(clock()())
            self._owners[owner] = None

    def around(self, sent: float, done: float, usual_s: float = 0.0) -> float:
        """Expected seconds between the arrival of a response and `done`, its stamp; at most its latency.

        `usual_s` is the usual latency of such exchanges; 0 if it is unknown.
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
        """Once each turn of the loop, before attempts resume whose responses were read in the last one."""
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
    """The sampler of the running loop, active while this gate has attempts in flight."""
    loop = get_running_loop()
    if (lag := _OF.get(loop)) is None:
        lag = _OF[loop] = LoopLag(_real_time(loop))
    lag.watch(owner)
    return lag


def _expected(span_s: float, usual_s: float) -> float:
    """Expected seconds into a span at which a response arrived: the mean of a truncated exponential distribution."""
    if span_s <= 0.0:
        return 0.0
    ratio = span_s / usual_s if usual_s > 0.0 else 0.0
    if ratio < 0.01:
        return span_s / 2
    return usual_s - span_s / math.expm1(min(ratio, 700.0))


def _real_time(loop: asyncio.AbstractEventLoop) -> bool:
    """Its clock is the machine's: that of uvloop, or the unchanged one of asyncio."""
    kind = type(loop)
    return kind.__module__.split(".")[0] == "uvloop" or getattr(kind, "time", None) is asyncio.BaseEventLoop.time

"""How late the client's own event loop was when an answer was stamped: what is the client's of a measured latency.

Rules of this file
  1. A coarse sampler: one timer for all, every 10 ms, only while there is something in flight. It comes late when the
     loop does not turn, whatever the reason: own computation, a garbage collection, a machine that is shared. Then each
     turn of the loop is timed until turns are short again.
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
from collections.abc import Callable

from harness.client.clock import Clock

PERIOD_S = 0.01
LATE_S = 0.003  # timers have whole milliseconds, and machines their noise
TURNS = 3  # of the loop, all short, until what arrived during a long one is through


class LoopLag:
    """Samples the running loop while `busy()`; `due` and `aftermath` tell cheaply whether `around` is worth a call."""

    __slots__ = (
        *("_busy", "_fired_at", "_from", "_last", "_loop", "_now", "_to", "_turns"),
        *("aftermath", "due", "running", "usual_s"),
    )

    def __init__(self, busy: Callable[[], bool]) -> None:
        self.running = False
        self.due = math.inf  # after this instant the next tick is late
        self.aftermath = False  # what arrived during a long turn comes up now
        self.usual_s = 0.0  # the usual latency, as the owner knows it; 0 if it does not
        self._busy = busy
        self._fired_at = self._from = self._to = -math.inf
        self._last = (-math.inf, -math.inf)  # begin and end of the last turn
        self._turns = 0
        self._now: Clock
        self._loop: asyncio.AbstractEventLoop

    def start(self, loop: asyncio.AbstractEventLoop, now: Clock) -> None:
        """Sample from now on; in virtual time there is nothing to sample."""
        self.running = True
        if _real_time(loop):
            self._loop, self._now = loop, now
            self._arm(now())

    def around(self, sent: float, done: float) -> float:
        """Expected seconds between the arrival of an answer and `done`, its stamp; at most what it took."""
        if self.aftermath and sent < self._to:
            first = max(sent, self._from)
            arrived = first + _expected(self._to - first, self.usual_s)
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
        self._loop.call_later(PERIOD_S, self._tick)

    def _tick(self) -> None:
        now = self._now()
        if now > self.due and not self.aftermath:
            self._from, self._to = self._begun(now), now
            self._last = (now, now)
            self._turns = TURNS
            self.aftermath = True
            self._loop.call_soon(self._turned)
        if self._busy():
            self._arm(now)
        else:
            self.running, self.due = False, math.inf

    def _turned(self) -> None:
        """Once a turn of the loop, before those are woken whose answers were read in the last one."""
        now, (begin, end) = self._now(), self._last
        if end - begin > LATE_S:
            self._from, self._to = begin, end
        self._last = (end, now)
        self._turns = TURNS if now - end > LATE_S else self._turns - 1
        if self._turns:
            self._loop.call_soon(self._turned)
        else:
            self.aftermath = False


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

"""How late the client's own event loop was when an answer was stamped: what is the client's of a measured latency.

Rules of this file
  1. A coarse sampler: one timer for all, every 10 ms, only while there is something in flight. It comes late when the
     loop does not turn, whatever the reason: own computation, a garbage collection, a machine that is shared.
  2. An answer that is stamped in the very turn that is late was there before that turn: all of the turn is lag. Answers
     that come up in the turns after it arrived somewhere during it, on average at its middle.
  3. A turn shorter than `LATE_S` is not seen, and one shorter than a period not always: what is told is rather too
     little than too much, so that a server's queueing is not taken for the client's.
  4. In virtual time no turn takes any, so there is no sampler, and nothing keeps a loop alive that waits for nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from harness.client.clock import Clock

PERIOD_S = 0.01
LATE_S = 0.005  # timers have whole milliseconds, and machines their noise
TURNS = 3  # of the loop, until what arrived during a long one is through: read, woken, and one to spare


class LoopLag:
    """Samples the running loop while `busy()`; `due` and `aftermath` tell cheaply whether `around` is worth a call."""

    __slots__ = ("_busy", "_fired_at", "_from", "_loop", "_now", "_to", "_turns", "aftermath", "due", "running")

    def __init__(self, busy: Callable[[], bool]) -> None:
        self.running = False
        self.due = math.inf  # after this instant the next tick is late
        self.aftermath = False  # what arrived during a long turn comes up now
        self._busy = busy
        self._fired_at = self._from = self._to = -math.inf
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
        if done > self.due:
            arrived = self._fired_at + PERIOD_S / 2
        elif self.aftermath and sent < self._to:
            arrived = (max(sent, self._from) + self._to) / 2
        else:
            return 0.0
        return min(max(0.0, done - arrived), max(0.0, done - sent))

    def _arm(self, now: float) -> None:
        self._fired_at = now
        self.due = now + PERIOD_S + LATE_S
        self._loop.call_later(PERIOD_S, self._tick)

    def _tick(self) -> None:
        now = self._now()
        if now > self.due:
            self._from, self._to = self._fired_at + PERIOD_S / 2, now
            self._turns = TURNS
            if not self.aftermath:
                self.aftermath = True
                self._loop.call_soon(self._turned)
        if self._busy():
            self._arm(now)
        else:
            self.running, self.due = False, math.inf

    def _turned(self) -> None:
        self._turns -= 1
        if self._turns:
            self._loop.call_soon(self._turned)
        else:
            self.aftermath = False


def _real_time(loop: asyncio.AbstractEventLoop) -> bool:
    """Its clock is the machine's: uvloop's, or asyncio's own that nobody replaced."""
    kind = type(loop)
    return kind.__module__.split(".")[0] == "uvloop" or getattr(kind, "time", None) is asyncio.BaseEventLoop.time

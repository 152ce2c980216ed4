"""Precise timers. Event loops round timers to whole milliseconds (epoll, libuv), too coarse for arrivals.

On Linux a timerfd wakes the loop within tens of microseconds and costs one system call. A timer plus a busy wait would
use up to a millisecond of CPU per arrival. On other systems, and in virtual time, the loop's own timer is used.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

from harness.base.clock import Clock, clock
from harness.base.timerfd import TimerFd

GRAIN_S = 0.0002
"""How long dense arrivals wait for each other, so that one wake-up of the loop serves them."""

SleepUntil = Callable[[float], Awaitable[None]]
"""Returns at the given instant of the loop's clock, or immediately if it is past."""


async def sleep_until(when: float) -> None:
    """The loop's own timer: exact in virtual time, a millisecond coarse in real time. Never returns early."""
    now = clock()
    while (left := when - now()) > 0:  # noqa: ASYNC110 - there is no event to wait for, only time
        await asyncio.sleep(left)


class Alarm:
    """An alarm clock for one coroutine: `async with Alarm() as alarm: await alarm.until(when)`.

    `when` is an instant of CLOCK_MONOTONIC, which is the running loop's clock on every real loop.
    """

    def __init__(self) -> None:
        self._timer: TimerFd | None = None
        self._rang: asyncio.Future[None] | None = None
        self._off = False
        self._now: Clock = time.monotonic

    @property
    def grain_s(self) -> float:
        """The time that one wake-up may cover: none where instants are exact, in virtual time."""
        return 0.0 if self._timer is None else GRAIN_S

    async def __aenter__(self) -> Alarm:
        self._now, self._loop = clock(), asyncio.get_running_loop()
        if (timer := TimerFd()).fd >= 0:
            try:
                self._loop.add_reader(timer.fd, self._ring)
            except NotImplementedError:
                # A loop in virtual time has no file descriptors.
                timer.close()
            else:
                self._timer = timer
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._timer is not None:
            asyncio.get_running_loop().remove_reader(self._timer.fd)
            self._timer.close()

    def off(self) -> None:
        """Wake the coroutine that waits for this alarm. Later calls of `until` return immediately."""
        self._off = True
        self._wake()

    def ring(self) -> None:
        """Wake a coroutine that waits in `once`, before its time."""
        self._wake()

    async def until(self, when: float) -> None:
        """Return at `when`, never earlier; immediately if it is past or the alarm is off."""
        now, timer = self._now, self._timer
        while now() < when and not self._off:
            if timer is not None and when < math.inf and timer.arm(when):
                self._rang = rang = self._loop.create_future()
                await rang
            else:
                await self.once(when)

    async def once(self, when: float) -> None:
        """Return about `when` (infinity: never by itself), or as soon as `ring` is called or the alarm is off."""
        loop = asyncio.get_running_loop()
        if self._off:
            return
        self._rang = loop.create_future()
        if when == math.inf or (self._timer is not None and self._timer.arm(when)):
            await self._rang
            return
        timer = loop.call_at(when, self._wake)
        try:
            await self._rang
        finally:
            timer.cancel()

    def _ring(self) -> None:
        # After the alarm is set again, an earlier wake-up has nothing to read.
        if self._timer is not None and self._timer.fired():
            self._wake()

    def _wake(self) -> None:
        if self._rang is not None and not self._rang.done():
            self._rang.set_result(None)

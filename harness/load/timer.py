"""Waking up on time. Event-loop timers are rounded to whole milliseconds (epoll, libuv); arrivals need better.

On Linux a timerfd wakes the loop within tens of microseconds for the price of a system call, where a timer plus a spin
would burn up to a millisecond of CPU per arrival. Elsewhere, and in virtual time, the loop's own timer has to do.
"""

from __future__ import annotations

import asyncio
import ctypes
import math
import os
import sys
from collections.abc import Awaitable, Callable
from types import TracebackType

from harness.client.clock import clock

SleepUntil = Callable[[float], Awaitable[None]]
"""Returns at the given instant of the loop's clock, or at once if it is past."""


async def sleep_until(when: float) -> None:
    """The loop's own timer: exact in virtual time, a millisecond coarse in real time. Never returns early."""
    now = clock()
    while (left := when - now()) > 0:  # noqa: ASYNC110 - there is no event: time itself is waited for
        await asyncio.sleep(left)


class _Spec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("s", ctypes.c_long),
        ("ns", ctypes.c_long),
    )


_MONOTONIC, _NONBLOCK_CLOEXEC, _ABSOLUTE = 1, 0o2004000, 1


def timespec(when: float) -> tuple[int, int]:
    """Whole seconds and nanoseconds (0 to 999,999,999) of an instant, rounded up: an alarm never rings early."""
    return divmod(math.floor(when * 1e9) + 1, 1_000_000_000)


class Alarm:
    """An alarm clock for one coroutine: `async with Alarm() as alarm: await alarm.until(when)`.

    `when` is an instant of CLOCK_MONOTONIC, which is the running loop's clock on every real loop.
    """

    def __init__(self) -> None:
        self._fd = -1
        self._libc: ctypes.CDLL | None = None
        self._rang: asyncio.Future[None] | None = None
        self._off = False

    async def __aenter__(self) -> Alarm:
        if sys.platform == "linux":
            libc = ctypes.CDLL(None, use_errno=True)
            self._fd = libc.timerfd_create(_MONOTONIC, _NONBLOCK_CLOEXEC)
            if self._fd >= 0:
                self._libc = libc
                asyncio.get_running_loop().add_reader(self._fd, self._ring)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def off(self) -> None:
        """Wake whoever sleeps by this alarm, for good."""
        self._off = True
        if self._rang is not None and not self._rang.done():
            self._rang.set_result(None)

    async def until(self, when: float) -> None:
        """Return at `when`, never before; at once if it is past or the alarm is off."""
        if self._libc is None:
            await sleep_until(when)
            return
        now = clock()
        while now() < when and not self._off:
            seconds, nanoseconds = timespec(when)
            spec = _Spec(0, 0, seconds, nanoseconds)
            self._rang = asyncio.get_running_loop().create_future()
            if self._libc.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(spec), None) != 0:
                await sleep_until(when)  # no alarm was set, so nothing would ring
                return
            await self._rang

    def _ring(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return  # a stale wake-up of an alarm that was set anew
        if self._rang is not None and not self._rang.done():
            self._rang.set_result(None)

"""A time-out for each of thousands of requests in flight, at the price of one timer for all of them.

All requests of a transport are allowed the same time, so they run out in the order in which they began: one timer for
the oldest is enough. (aiohttp's own, a timer and two context managers a request, is a tenth of a small request's cost.)
"""

from __future__ import annotations

import asyncio
from typing import Any


class Watch:
    """One request under watch."""

    __slots__ = ("expired", "task", "when")

    def __init__(self, task: asyncio.Task[Any], when: float) -> None:
        self.task = task
        self.when = when
        self.expired = False

    def expire(self) -> None:
        """Cancel the request's task, once; the transport takes the cancellation back and calls it a time-out.

        A deadline and a time-out can both end in one turn of the loop. A second cancellation would not be taken back.
        """
        if self.expired:
            return
        self.expired = True
        self.task.cancel()


class Timeouts:
    """Watches requests that are all allowed `timeout_s` seconds; use within a running loop."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._watched: dict[Watch, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, now: float) -> Watch:
        """Watch the current task from now on."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - transports are only called from tasks
        watch = Watch(task, now + self._timeout_s)
        self._watched[watch] = None
        if self._timer is None:
            self._arm(self._timeout_s)
        return watch

    def end(self, watch: Watch) -> None:
        """The exchange is over."""
        del self._watched[watch]

    def _arm(self, delay_s: float) -> None:
        self._timer = self._loop.call_later(delay_s, self._ring)

    def _ring(self) -> None:
        """Expire what is due (to the loop's millisecond), then sleep till the oldest that is left."""
        self._timer = None
        now = self._loop.time() + 0.001
        for watch in self._watched:
            if watch.when > now:
                self._arm(watch.when - now)
                return
            watch.expire()

    def close(self) -> None:
        """No more timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

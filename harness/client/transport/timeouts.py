"""Time-outs of thousands of requests in flight with a single timer.

All requests of a transport have the same time-out, so they expire in the order in which they began: one timer for the
oldest is enough. (aiohttp's own time-outs, a timer and two context managers per request, are a tenth of the cost of a
small request.)
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
        """Cancel the request's task, once; the transport turns the cancellation into a time-out.

        A deadline and a time-out can both end in one turn of the loop. A second cancellation would not be undone.
        """
        if self.expired:
            return
        self.expired = True
        self.task.cancel()


class Timeouts:
    """Watches requests with a time-out of `timeout_s` seconds each; use within a running loop."""

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
        """Expire due requests (to the loop's millisecond), then set the timer for the oldest that remains."""
        self._timer = None
        now = self._loop.time() + 0.001
        for watch in self._watched:
            if watch.when > now:
                self._arm(watch.when - now)
                return
            watch.expire()

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

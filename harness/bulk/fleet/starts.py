"""When workers start: a few at a time, and only while ranges wait for them; a stop ends those that are starting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from harness.base.clock import clock
from harness.bulk.fleet.range_coordinator import RangeCoordinator

_LOOK_S = 0.05


class Starts:
    """Turns to start a worker. A thousand workers for ten ranges are ten workers."""

    def __init__(self, coordinator: RangeCoordinator, at_once: int) -> None:
        self._coordinator = coordinator
        self._line = asyncio.Semaphore(at_once)
        # Tasks without a worker, and how many of them are starting one.
        self._tasks: set[asyncio.Task[object]] = set()
        self._starting = 0

    @asynccontextmanager
    async def turn(self, after_s: float = 0.0) -> AsyncIterator[bool]:
        """The block starts a worker and hears it; False if none is needed. Cancelled at a stop."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is a coroutine
        self._tasks.add(task)
        try:
            await asyncio.sleep(after_s)
            async with self._line:
                is_needed = await self._is_needed()
                self._starting += 1
                try:
                    yield is_needed
                finally:
                    self._starting -= 1
        finally:
            self._tasks.discard(task)

    async def _is_needed(self) -> bool:
        """Wait until a range waits for a worker; False once none will."""
        run, now = self._coordinator, clock()
        while not (run.leases.all_done or run.stopping):
            # No worker may be there to do it.
            run.leases.expire(now())
            if run.leases.ahead > self._starting:
                return True
            await asyncio.sleep(_LOOK_S)
        return False

    def cancel(self) -> None:
        """The run stops: workers that have not begun are not needed."""
        for task in self._tasks:
            task.cancel()

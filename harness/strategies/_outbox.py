"""Channel for results from many tasks to one consumer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from harness.client.types import Result


class Outbox:
    """An unbounded channel with one reader; its size is bounded by the requests in flight of its writers."""

    def __init__(self) -> None:
        self._results: deque[Result] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._closed = False
        self._error: BaseException | None = None

    def put(self, result: Result) -> None:
        """Hand a result over; never waits."""
        self._results.append(result)
        self._notify()

    def close(self, error: BaseException | None = None) -> None:
        """End the channel; the first error given is raised in the reader after the last result."""
        self._closed = True
        self._error = self._error or error
        self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def __aiter__(self) -> AsyncIterator[Result]:
        while True:
            while self._results:
                yield self._results.popleft()
            if self._closed:
                if self._error is not None:
                    raise self._error
                return
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake

"""Channel for results from many tasks to one consumer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from harness.client.types import Result


class Outbox:
    """An unbounded channel with one reader; its size is bounded by the requests in flight of its writers."""

    def __init__(self) -> None:
        self.waiting: deque[Result] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._closed = False
        self._error: BaseException | None = None

    def put(self, result: Result) -> None:
        """Hand a result over; never waits."""
        self.waiting.append(result)
        self._notify()

    def close(self, error: BaseException | None = None) -> None:
        """End the channel; the first error given is raised in the reader after the last result."""
        self._closed = True
        self._error = self._error or error
        self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def more(self) -> bool:
        """Wait until `waiting` is not empty; False at the end. Raises the error that closed the channel."""
        if not self.waiting and not self._closed:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        if not self.waiting and self._closed and self._error is not None:
            raise self._error
        return not self._closed or bool(self.waiting)

    async def __aiter__(self) -> AsyncIterator[Result]:
        while await self.more():
            while self.waiting:
                yield self.waiting.popleft()

"""Restores input order of results within a bounded window."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing

from harness.client.types import Item, Result


class Reorder:
    """Input order for the results of any strategy, holding at most `window` items between intake and output.

    Wrap both ends: `reorder.results(strategy.stream(reorder.items(items), send))`. When the oldest item is slow, intake
    stops as soon as `window` items are out, so memory stays bounded; nothing is dropped.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._expected: deque[int] = deque()
        self._ready: dict[int, Result] = {}
        self._room: asyncio.Future[None] | None = None

    async def items(self, items: AsyncIterable[Item]) -> AsyncIterator[Item]:
        """The same items, held back while the window is full."""
        async for item in items:
            while len(self._expected) >= self._window:
                self._room = asyncio.get_running_loop().create_future()
                await self._room
            self._expected.append(item.index)
            yield item

    async def results(self, results: AsyncGenerator[Result, None]) -> AsyncGenerator[Result, None]:
        """The same results in the order in which `items` gave out their items."""
        async with aclosing(results) as arriving:
            async for result in arriving:
                self._ready[result.item.index] = result
                while self._expected and self._expected[0] in self._ready:
                    yield self._ready.pop(self._expected.popleft())
                    if self._room is not None and not self._room.done():
                        self._room.set_result(None)

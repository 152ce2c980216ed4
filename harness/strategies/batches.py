"""Batches of items with a barrier after each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar

from harness.client.checks import between
from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.limits.fixed import Fixed
from harness.client.task_calls import request_for, result_of
from harness.client.types import Item, Layers, Result, Send, no_layers


@dataclass(frozen=True)
class Batches:
    """A semaphore and one gather per chunk: the next chunk waits for the slowest of this one.

    Args:
        size: Items in a chunk. Default 50.
        concurrency: Attempts of a chunk in flight. Default 50.
    """

    size: int = 50
    concurrency: int = 50
    blocking: ClassVar[bool] = False

    def __post_init__(self) -> None:
        between(self, 1, 1_000_000, "size")
        between(self, 1, 100_000, "concurrency")

    @property
    def collects(self) -> bool:
        """Whether it waits for a full chunk."""
        return self.size > 1

    async def stream(
        self, items: AsyncIterable[Item], send: Send, /, layers: Layers = no_layers
    ) -> AsyncGenerator[Result, None]:
        call = layers(ConcurrencyLimit(send, Fixed(self.concurrency)))

        async def one(item: Item) -> Result:
            return result_of(item, await call(request_for(item)))

        async with aclosing(_chunks(items, self.size)) as chunks:
            async for chunk in chunks:
                for result in await asyncio.gather(*map(one, chunk), return_exceptions=True):
                    # A bug in a layer, raised when the whole chunk has ended.
                    if isinstance(result, BaseException):
                        raise result
                    yield result


async def _chunks(items: AsyncIterable[Item], size: int) -> AsyncGenerator[list[Item], None]:
    """Lists of `size` items, the last one shorter; items before an input error are returned first."""
    chunk: list[Item] = []
    try:
        async for item in items:
            chunk.append(item)
            if len(chunk) == size:
                yield chunk
                chunk = []
    except Exception:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk

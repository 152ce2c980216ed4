"""Every item at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass
from typing import ClassVar

from harness.client.task_calls import request_for, result_of
from harness.client.types import Item, Layers, Result, Send, no_layers
from harness.strategies._workers import Outbox


@dataclass(frozen=True)
class Unbounded:
    """Every item at once, each with a task and a connection: fast until client or server is overloaded.

    Memory is not bounded either: the input is read as fast as it comes, and a result waits as long as nobody reads it.
    """

    blocking: ClassVar[bool] = False

    async def stream(
        self, items: AsyncIterable[Item], send: Send, /, layers: Layers = no_layers
    ) -> AsyncGenerator[Result, None]:
        call, outbox = layers(send), Outbox()
        # In order of their start, so that a stop is repeatable.
        tasks: dict[asyncio.Task[None], None] = {}

        async def one(item: Item) -> None:
            outbox.put(result_of(item, await call(request_for(item))))

        def ended(task: asyncio.Task[None]) -> None:
            tasks.pop(task, None)
            if not task.cancelled() and (error := task.exception()) is not None:
                outbox.close(error)

        async def start_all() -> None:
            try:
                async for item in items:
                    task = asyncio.create_task(one(item))
                    tasks[task] = None
                    task.add_done_callback(ended)
            finally:  # an input error, too, is raised only after the items already started
                while tasks:
                    await asyncio.wait(tasks)

        starter = asyncio.create_task(start_all())
        starter.add_done_callback(lambda done: outbox.close(None if done.cancelled() else done.exception()))
        try:
            async for result in outbox:
                yield result
        finally:
            leftover = [starter, *tasks]
            for task in leftover:
                task.cancel()
            await asyncio.gather(*leftover, return_exceptions=True)

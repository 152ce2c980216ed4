"""Batches whose size adapts to latency."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar

from harness.client.checks import between, positive
from harness.client.errors import SettingError
from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.limits.fixed import Fixed
from harness.client.protocols import BatchedTask, provides
from harness.client.task_calls import result_of
from harness.client.types import Item, Layers, Outcome, Request, Response, Result, Send, Task, no_layers
from harness.strategies._batch_size import BatchSize
from harness.strategies._workers import Outbox

_TOO_MUCH = frozenset({Outcome.rejected, Outcome.timed_out, Outcome.server_error})


@dataclass(frozen=True)
class AdaptiveBatch:
    """Several items per request: the size halves above `high_s`, doubles below `low_s`; for APIs that accept lists.

    No request waits for a batch to fill: it takes the items that are queued when a slot is free, so an idle server gets
    single items at once and a busy one full batches. Items of different tasks never share a request, and items of a
    task whose API accepts one item are sent one by one.

    Args:
        concurrency: Requests in flight. Default 4.
        size: Items in a request at the start. Default 8.
        minimum: Lower bound of items in a request. Default 1.
        maximum: Upper bound of items in a request. Default 64.
        low_s: Latency in seconds below which the size doubles. Default 0.2.
        high_s: Latency in seconds above which the size is halved. Default 1.0.
    """

    concurrency: int = 4
    size: int = 8
    minimum: int = 1
    maximum: int = 64
    low_s: float = 0.2
    high_s: float = 1.0
    blocking: ClassVar[bool] = False

    def __post_init__(self) -> None:
        between(self, 1, 100_000, "concurrency", "minimum", "maximum", "size")
        positive(self, "low_s", "high_s")
        if not self.minimum <= self.size <= self.maximum:
            raise SettingError(f"size={self.size} must be between minimum={self.minimum} and maximum={self.maximum}")
        if not self.low_s <= self.high_s:
            raise SettingError(f"low_s={self.low_s!r} must be at most high_s={self.high_s!r}")

    async def stream(
        self, items: AsyncIterable[Item], send: Send, /, layers: Layers = no_layers
    ) -> AsyncGenerator[Result, None]:
        gate = ConcurrencyLimit(send, Fixed(self.concurrency))
        run = _Run(layers(gate), self)
        async with aclosing(run.stream(items)) as results:
            async for result in results:
                yield result


class _Run:
    """One stream: a producer, a queue of at most two rounds of batches, a worker for each request in flight.

    No batch is taken while two rounds of results wait for the reader.
    """

    def __init__(self, call: Send, settings: AdaptiveBatch) -> None:
        self._call = call
        self._settings = settings
        self._size = BatchSize(settings.size, settings.minimum, settings.maximum, settings.low_s, settings.high_s)
        self._queue: deque[Item] = deque()
        self._outbox = Outbox(lambda: self._room)
        self._changed = asyncio.Condition()
        self._ended = False
        self._single: list[Task] = []  # tasks whose API accepts one item per request

    async def stream(self, items: AsyncIterable[Item]) -> AsyncGenerator[Result, None]:
        """Results as their requests complete."""
        producer = asyncio.create_task(self._produce(items))
        workers = [asyncio.create_task(self._work()) for _ in range(self._settings.concurrency)]
        overseer = asyncio.create_task(self._oversee(producer, workers))
        try:
            async for result in self._outbox:
                yield result
        finally:
            leftover = [overseer, producer, *workers]
            for task in leftover:
                task.cancel()
            await asyncio.gather(*leftover, return_exceptions=True)

    async def _oversee(self, producer: asyncio.Task[None], workers: list[asyncio.Task[None]]) -> None:
        """Close the outbox at the end; an input error is raised after the requests in flight, a bug at once."""
        done, _ = await asyncio.wait({producer, *workers}, return_when=asyncio.FIRST_EXCEPTION)
        errors = [error for task in done if (error := task.exception()) is not None]
        if errors and producer in done and producer.exception() in errors:
            await asyncio.wait(workers)
        self._outbox.close(errors[0] if errors else None)

    async def _produce(self, items: AsyncIterable[Item]) -> None:
        failure: Exception | None = None
        try:
            async for item in items:
                async with self._changed:
                    self._queue.append(item)
                    self._changed.notify()
                    await self._changed.wait_for(lambda: len(self._queue) < self._room)
        except Exception as error:  # the input failed: items in work are finished first
            failure = error
        async with self._changed:
            self._ended = True
            self._changed.notify_all()
            await self._changed.wait_for(lambda: not self._queue)
        if failure is not None:
            raise failure

    @property
    def _room(self) -> int:
        return 2 * self._settings.concurrency * self._size.value

    async def _work(self) -> None:
        while True:
            if self._outbox.full:
                await self._outbox.drained()
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._queue) or self._ended)
                if not self._queue:
                    return
                size = self._size.value
                request = self._take(size)
                self._changed.notify_all()
            response = await self._call(request)
            self._learn(size, request, response)
            for position, item in enumerate(request.items):
                self._outbox.put(result_of(item, response, position))

    def _take(self, size: int) -> Request:
        """The queued items of one task, up to the size."""
        batch = [self._queue.popleft()]
        task = batch[0].task
        if provides(task, BatchedTask):
            size = min(size, task.items_max)
        if size == 1 or task in self._single:
            return task.request(batch)
        while self._queue and len(batch) < size and self._queue[0].task == task:
            batch.append(self._queue.popleft())
        try:
            return task.request(batch)
        except Exception:  # a user-defined task may refuse several items by any error
            if len(batch) == 1:
                raise
            self._single.append(task)
            self._queue.extendleft(reversed(batch[1:]))
            return task.request(batch[:1])

    def _learn(self, size: int, request: Request, response: Response) -> None:
        if response.from_cache or response.outcome not in {Outcome.ok, *_TOO_MUCH}:
            return
        self._size.update(size, len(request.items), response.done - response.sent, response.outcome is Outcome.ok)

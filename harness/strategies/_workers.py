"""Producer -> bounded queue -> workers -> outbox: the machinery behind every strategy with bounded concurrency.

The outbox alone also serves the other strategies whose requests are tasks.

Rules of this file
  1. An item is taken from the queue only when a slot of the gate is free, so urgent items can overtake till then.
  2. While an item is queued, at least one worker is available for it: idle, about to read the queue, or waiting for a
     vacancy or for the reader. So there are as many workers as slots and one spare, which at once takes the slot of a
     request that sleeps between two attempts. Further workers are started only to replace workers whose requests sleep.
  3. Sleeping requests are bounded too: at most `outstanding(limit)` items are between the queue and the outbox.
  4. No item is taken while `outstanding(limit)` results wait for the reader, of the largest limit that there was. So a
     slow reader holds up the intake, and memory is bounded by the queue and twice that number.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from itertools import count
from typing import Protocol

from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.gate.shared import SharedGate
from harness.client.task_calls import request_for, result_of
from harness.client.types import Item, Result, Send


def outstanding(limit: int) -> int:
    """The most items in workers under a limit: its slots, as many sleeping, and a few for small limits."""
    return 2 * limit + 16


class _Queue(Protocol):
    def __len__(self) -> int: ...
    def push(self, item: Item, /) -> None: ...
    def pop(self) -> Item: ...


class _Fifo(deque[Item]):
    push = deque.append
    pop = deque.popleft


class _ByPriority:
    """Smallest priority first, in order of arrival among equals.

    `patience` bounds how many later items may overtake an item, for each level that they are more urgent.
    """

    def __init__(self, patience: int = 0) -> None:
        self._patience = patience
        self._heap: list[tuple[int, int, Item]] = []
        self._tick = count()

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, item: Item) -> None:
        tick = next(self._tick)
        rank = item.priority * self._patience + tick if self._patience else item.priority
        heapq.heappush(self._heap, (rank, tick, item))

    def pop(self) -> Item:
        return heapq.heappop(self._heap)[2]


class Outbox:
    """A channel with one reader. It holds what its writers had in flight and, if they wait while it is full, no more.

    Args:
        most: The number of waiting results, at least 1, from which on it is full. Default None: it never is.
    """

    def __init__(self, most: Callable[[], int] | None = None) -> None:
        self.waiting: deque[Result] = deque()
        self.stalled: deque[asyncio.Future[None]] = deque()
        """Writers that wait for the reader; only while results wait for it, too."""
        self._most = most
        self._wake: asyncio.Future[None] | None = None
        self._closed = False
        self._error: BaseException | None = None

    def put(self, result: Result) -> None:
        """Hand a result over; never waits."""
        self.waiting.append(result)
        self._notify()

    @property
    def full(self) -> bool:
        """Whether writers should begin nothing new."""
        return self._most is not None and len(self.waiting) >= self._most()

    async def drained(self) -> None:
        """Wait until the reader has made room."""
        while self.full:
            stalled = asyncio.get_running_loop().create_future()
            self.stalled.append(stalled)
            await stalled

    def resume(self) -> None:
        """A result was taken: if there is room, a writer goes on; after the last result all do."""
        if self.full:
            return
        while self.stalled:
            stalled = self.stalled.popleft()
            if not stalled.done():
                stalled.set_result(None)
                if self.waiting:
                    return

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
                result = self.waiting.popleft()
                if self.stalled:
                    self.resume()
                yield result


class Workers:
    """Runs items through `call` with as many workers as `gate` has slots."""

    def __init__(
        self,
        call: Send,
        gate: ConcurrencyLimit | SharedGate,
        queue_size: int,
        by_priority: bool = False,
        patience: int = 0,
    ) -> None:
        self._call = call
        self._gate = gate
        self._queue_size = queue_size
        # The producer is woken for several items at once, not for each.
        self._refill_at = queue_size // 2
        self._queue: _Queue = _ByPriority(patience) if by_priority else _Fifo()
        self._outbox = Outbox(lambda: outstanding(gate.limit.value))
        # In order of their start, so that a stop is repeatable.
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._idle: deque[asyncio.Future[None]] = deque()
        self._room: asyncio.Future[None] | None = None
        # Workers that are neither idle nor in a call: they will read the queue.
        self._searching = 0
        self._ended = False
        self._error: Exception | None = None

    async def stream(self, items: AsyncIterable[Item]) -> AsyncGenerator[Result, None]:
        """Results as they complete; closing the iterator early cancels the requests in flight."""
        producer = asyncio.create_task(self._produce(items))
        outbox = self._outbox
        ready, stalled = outbox.waiting, outbox.stalled
        try:
            # A further generator in between would cost each result a tenth of its strategy.
            while await outbox.more():
                while ready:
                    result = ready.popleft()
                    if stalled:
                        outbox.resume()
                    yield result
        finally:
            leftover = [producer, *self._tasks]
            for task in leftover:
                task.cancel()
            await asyncio.gather(*leftover, return_exceptions=True)

    async def _produce(self, items: AsyncIterable[Item]) -> None:
        try:
            async for item in items:
                self._queue.push(item)
                self._employ()
                if len(self._queue) >= self._queue_size:
                    self._room = asyncio.get_running_loop().create_future()
                    await self._room
        except Exception as error:  # the input failed: items in work are finished, then the reader gets the error
            self._error = error
        finally:
            self._ended = True
            while self._idle:
                self._wake_one()
            self._close_if_done()

    def _employ(self) -> None:
        """Wake an idle worker; else start one if none is searching, or fewer than slots are free."""
        if self._idle and self._wake_one():
            return
        gate = self._gate
        limit = gate.limit.value
        free = limit - gate.in_flight
        if self._searching < (free if free > 1 else 1) and len(self._tasks) < outstanding(limit):
            self._searching += 1
            task = asyncio.create_task(self._work())
            self._tasks[task] = None
            task.add_done_callback(self._left)

    def _wake_one(self) -> bool:
        while self._idle:
            sleeper = self._idle.popleft()
            if not sleeper.done():
                self._searching += 1
                sleeper.set_result(None)
                return True
        return False

    async def _work(self) -> None:
        gate, queue, outbox = self._gate, self._queue, self._outbox
        unread, most = outbox.waiting, 0
        while True:
            if not gate.vacant:
                await gate.vacancy()
            if len(unread) >= most:
                # It is asked for only here, because that costs more than the comparison.
                most = outstanding(gate.limit.value)
                if outbox.full:
                    await outbox.drained()
                    # The slot was not reserved.
                    continue
            self._searching -= 1
            if not queue:
                if self._ended:
                    return
                sleeper = asyncio.get_running_loop().create_future()
                self._idle.append(sleeper)
                await sleeper
                continue
            item = queue.pop()
            if self._room is not None and not self._room.done() and len(queue) <= self._refill_at:
                self._room.set_result(None)
            if queue:
                self._employ()
            response = await self._call(request_for(item))
            outbox.put(result_of(item, response))
            self._searching += 1

    def _left(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._outbox.close(error)
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._ended and not self._tasks and not self._queue:
            self._outbox.close(self._error)

"""The items of one client application, as the stream from which its strategy pulls."""

from __future__ import annotations

import asyncio
import math
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from harness.base.clock import clock
from harness.client.types import Item, Task
from harness.load.schedule import Schedule
from harness.load.timer import SleepUntil
from harness.load.workloads.jsonl import Jsonl, KeptRows

AHEAD_S = 0.005
"""Nothing is made ahead so shortly before an arrival, so that it is not late."""
DENSE_S, DENSE_ARRIVALS = 0.002, 8
"""Arrivals are dense where so many more are due within so short a time: from about 4,000 a second on."""


class MadeUp(Protocol):
    """A workload without a file."""

    @property
    def ahead(self) -> int:
        """Items that may be made before they are due, because making one takes long; 0: none."""
        ...

    def data(self, task: Task, index: int, seed: int) -> Any:
        """The data of item `index`."""
        ...

    def rows(self, task: Task, items: int, seed: int, part: int = 0, parts: int = 1) -> Iterator[tuple[int, Any, int]]:
        """(index, data, priority) of every item whose index is `part` modulo `parts`."""
        ...


@dataclass(frozen=True)
class Source:
    """Origin of the items' data: a JSONL file, or made-up texts, also those of a trace."""

    jsonl: Jsonl | None
    synthetic: MadeUp
    items: int | None  # None: all lines of the file
    seed: int

    def rows(self, task: Task, part: int, parts: int) -> Iterator[tuple[int, Any, int]]:
        """(index, data, priority) of this part's items."""
        if self.jsonl is not None:
            return self.jsonl.rows(task, part, parts)
        if self.items is None:
            raise ValueError("a synthetic workload needs a number of items")
        return self.synthetic.rows(task, self.items, self.seed, part, parts)

    def sharing(self, kept: KeptRows) -> Source:
        """This source, with the parsed rows of a small file that the other applications of the process read too."""
        if self.jsonl is not None:
            self.jsonl.kept = kept
        return self


class Ahead:
    """Rows of arrivals; some are made in the time until the next one is due, so that those of one instant go together.

    They are made one at a time, with other tasks of the loop between them.
    """

    def __init__(self, rows: Iterator[tuple[Task, Any, int]], most: int) -> None:
        self._rows = rows
        self._most = most
        self._made: deque[tuple[Task, Any, int]] = deque()

    def next(self) -> tuple[Task, Any, int] | None:
        """The next row; None after the last."""
        return self._made.popleft() if self._made else next(self._rows, None)

    async def fill(self, due: float, now: Callable[[], float]) -> None:
        """Make rows until shortly before an instant."""
        while len(self._made) < self._most and now() < due - AHEAD_S:
            if (row := next(self._rows, None)) is None:
                return
            self._made.append(row)
            await asyncio.sleep(0)


class Mix:
    """Chooses the task of each item by weight. The choice depends only on seed and index."""

    def __init__(self, tasks: list[tuple[Task, float]], seed: int) -> None:
        self.tasks = [task for task, _ in tasks]
        self._weights = [weight for _, weight in tasks]
        self._seed = seed

    def pick(self, index: int) -> Task:
        """The task of item `index`."""
        if len(self.tasks) == 1:
            return self.tasks[0]
        return Random(self._seed * 7_368_787 + index).choices(self.tasks, self._weights)[0]


class Feed:
    """Items `part`, `part + parts`, ... of the load. `stop()` ends the stream before the next item.

    Arrivals due before `since` are skipped, and the result counts them as not sent: a load shape may start an
    application in the middle of the schedule.

    A backlog emits items as fast as they are pulled, all due at `zero`. Arrivals are emitted at their due times. If an
    item is pulled late because the strategy was busy, its `fired` is its due time, and the wait counts as queue wait.
    If it is pulled early, its `fired` is the instant at which the timer woke, and the delay of the timer counts as lag.
    So it is for every arrival that fell due until then: while the feed sleeps, the strategy is not what it waits for.

    Dense arrivals may share a wake-up: the timer is set `grain_s` late, and the wait counts as lag of each of them. To
    wake a sleeping loop costs more than to send a request.
    """

    def __init__(
        self,
        source: Source,
        mix: Mix,
        schedule: Schedule,
        zero: float,
        sleep_until: SleepUntil,
        part: int = 0,
        parts: int = 1,
        since: float = float("-inf"),
        grain_s: float = 0.0,
    ) -> None:
        self._since = since - zero
        self._grain_s = grain_s
        self._source = source
        self._mix = mix
        self._schedule = schedule
        self._zero = zero
        self._sleep_until = sleep_until
        self._part = part
        self._parts = parts
        self._stopped_at: float | None = None
        self._over = False
        self.pulled = 0

    def stop(self, at: float) -> None:
        """Emit no item after this instant. The strategy finishes the items that were emitted before."""
        self._stopped_at = at

    def end(self) -> None:
        """The planned end of a backlog without a fixed size: emit no further item. Nothing is left unsent."""
        self._over = True

    @property
    def stopped(self) -> bool:
        return self._stopped_at is not None

    def scheduled(self, ended: bool) -> int:
        """Number of items scheduled for this share until the load ended or was stopped."""
        offsets = self._schedule.offsets
        if offsets is not None:
            # They ascend, and there may be millions.
            first = bisect_left(offsets, self._since)
            last = len(offsets) if self._stopped_at is None else bisect_right(offsets, self._stopped_at - self._zero)
            return len(range(first + (self._part - first) % self._parts, last, self._parts))
        if ended or self._over or self._source.items is None:
            return self.pulled
        return len(range(self._part, self._source.items, self._parts))

    def __aiter__(self) -> AsyncIterator[Item]:
        return self._backlog() if self._schedule.offsets is None else self._arrivals()

    async def _backlog(self) -> AsyncIterator[Item]:
        zero, mixed = self._zero, len(self._mix.tasks) > 1
        task = self._mix.tasks[0]
        rows = self._mixed_rows() if mixed else self._source.rows(task, self._part, self._parts)
        for index, data, priority in rows:
            if self._over or self._stopped_at is not None:
                return
            self.pulled += 1
            yield Item(index, data, self._mix.pick(index) if mixed else task, priority, zero, zero)

    def _mixed_rows(self) -> Iterator[tuple[int, Any, int]]:
        """Rows of a mixed load. They are always synthetic, because an input file fits only one task."""
        for index in range(self._part, self._source.items or 0, self._parts):
            yield index, self._source.synthetic.data(self._mix.pick(index), index, self._source.seed), 0

    async def _arrivals(self) -> AsyncIterator[Item]:
        offsets, now, zero = self._schedule.offsets, clock(), self._zero
        assert offsets is not None  # noqa: S101 - __aiter__ checked it
        rows = Ahead(self._rows_for(len(offsets)), 0 if self._source.jsonl else self._source.synthetic.ahead)
        # The last wake-up. What fell due while this feed slept was released then, however late that was.
        woke = -math.inf
        for position in range(self._part, len(offsets), self._parts):
            due = zero + offsets[position]
            # Seen before the row is made: the time that a row takes is the generator's.
            is_early = due > woke and now() < due
            row = rows.next()
            if row is None:
                return
            if offsets[position] < self._since:
                continue
            if is_early:
                await rows.fill(due, now)
                await self._sleep_until(due + self._shared_s(offsets, position))
                # A stop wakes it earlier.
                woke = now()
            if self._stopped_at is not None and due > self._stopped_at:
                return
            self.pulled += 1
            task, data, priority = row
            yield Item(position, data, task, priority, due, woke if woke > due else due)

    def _shared_s(self, offsets: array[float], position: int) -> float:
        """Seconds by which this arrival may wait for the next ones, so that they share a wake-up."""
        last = position + DENSE_ARRIVALS * self._parts
        dense = self._grain_s and last < len(offsets) and offsets[last] - offsets[position] < DENSE_S
        return self._grain_s if dense else 0.0

    def _rows_for(self, items: int) -> Iterator[tuple[Task, Any, int]]:
        """Task, data and priority for each arrival of this share. The input file is repeated as often as needed."""
        source, mix = self._source, self._mix
        if source.jsonl is None or len(mix.tasks) > 1:
            for index in range(self._part, items, self._parts):
                task = mix.pick(index)
                yield task, source.synthetic.data(task, index, source.seed), 0
            return
        task = mix.tasks[0]
        for data, priority in source.jsonl.endless(task, self._part, self._parts):
            yield task, data, priority

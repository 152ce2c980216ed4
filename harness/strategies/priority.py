"""Urgent items overtake."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar

from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.gate.observer import noted
from harness.client.limits.fixed import Fixed
from harness.client.settings import at_least, between
from harness.client.types import Item, Layers, Limit, Result, Send, no_layers
from harness.strategies._workers import Workers
from harness.strategies.adaptive import Adaptive


@dataclass(frozen=True)
class Priority:
    """The most urgent of the items that wait goes first (the smallest `priority`), in input order among equals."""

    concurrency: int = 50  # attempts in flight, or the most that `limit` may allow
    limit: str = "fixed"  # fixed, or an algorithm that finds the number: a name of `paceline list limits`
    queue_size: int = 1_000  # how many items wait, among which the most urgent is looked for
    patience: int = 0  # how many later items of one level more urgent may overtake an item; 0 means any number
    blocking: ClassVar[bool] = False
    priority: ClassVar[bool] = True  # items' priorities are heeded

    def __post_init__(self) -> None:
        between(self, 1, 100_000, "concurrency")
        between(self, 1, 10_000_000, "queue_size")
        at_least(self, 0, "patience")
        self.new_limit()

    def new_limit(self) -> Limit:
        """A fresh limit; each stream learns for itself."""
        if self.limit == "fixed":
            return Fixed(self.concurrency)
        return Adaptive(limit=self.limit, maximum=self.concurrency).new_limit()

    async def stream(
        self, items: AsyncIterable[Item], send: Send, /, layers: Layers = no_layers
    ) -> AsyncGenerator[Result, None]:
        gate = ConcurrencyLimit(send, noted(self.new_limit()))
        workers = Workers(layers(gate), gate, self.queue_size, by_priority=True, patience=self.patience)
        async with aclosing(workers.stream(items)) as results:
            async for result in results:
                yield result

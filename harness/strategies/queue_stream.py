"""Producer, bounded queue, workers, collector."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass
from typing import ClassVar

from harness.client.checks import at_least, between
from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.limits.fixed import Fixed
from harness.client.types import Item, Layers, Result, Send, no_layers
from harness.strategies._order import Reorder
from harness.strategies._workers import Workers


@dataclass(frozen=True)
class QueueStream:
    """Producer, bounded queue, a fixed number in flight, results collected: steady memory and a steady load.

    Args:
        concurrency: Attempts in flight. Default 50.
        queue_size: Items between the input and the workers; 0 is twice the concurrency. Default 0.
        ordered: Whether results come in input order. Default False.
        window: Items between input and ordered output; 0 is eight times the concurrency. Default 0.
        priority: Whether urgent items overtake those in the queue. Default False.
    """

    concurrency: int = 50
    queue_size: int = 0
    ordered: bool = False
    window: int = 0
    priority: bool = False
    blocking: ClassVar[bool] = False

    def __post_init__(self) -> None:
        between(self, 1, 100_000, "concurrency")
        at_least(self, 0, "queue_size", "window")

    def stream(
        self, items: AsyncIterable[Item], send: Send, /, layers: Layers = no_layers
    ) -> AsyncGenerator[Result, None]:
        gate = ConcurrencyLimit(send, Fixed(self.concurrency))
        workers = Workers(layers(gate), gate, self.queue_size or 2 * self.concurrency, self.priority)
        if self.ordered:
            reorder = Reorder(self.window or 8 * self.concurrency)
            return reorder.results(workers.stream(reorder.items(items)))
        return workers.stream(items)

"""Urgent items overtake."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass
from typing import ClassVar

from harness.client.checks import at_least, between
from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.gate.shared import SharedGate, adaptive_gate
from harness.client.limits.fixed import Fixed
from harness.client.types import Item, Layers, Limit, Result, Send, no_layers
from harness.strategies._workers import Workers
from harness.strategies.adaptive import Adaptive


@dataclass(frozen=True)
class Priority:
    """Sends the most urgent waiting item first (the smallest `priority`), in input order among equals.

    Args:
        concurrency: Attempts in flight, or the upper bound of `limit`. Default 50.
        limit: "fixed", or a concurrency algorithm: a name of `paceline list limits`. Default "fixed".
        queue_size: Items that wait, among which the most urgent goes next. Default 1000.
        patience: Later items, for each level they are more urgent, that may overtake an item; 0 is any number.
            Default 0.
    """

    concurrency: int = 50
    limit: str = "fixed"
    queue_size: int = 1_000
    patience: int = 0
    blocking: ClassVar[bool] = False
    priority: ClassVar[bool] = True  # uses the priorities of items

    def __post_init__(self) -> None:
        between(self, 1, 100_000, "concurrency")
        between(self, 1, 10_000_000, "queue_size")
        at_least(self, 0, "patience")
        self.new_limit()

    def new_limit(self, initial: int | None = None) -> Limit:
        """A new limit; an adaptive one that can begins with `initial` attempts in flight."""
        if self.limit == "fixed":
            return Fixed(self.concurrency)
        return Adaptive(limit=self.limit, maximum=self.concurrency).new_limit(initial)

    def _gate(self, send: Send) -> ConcurrencyLimit | SharedGate:
        if self.limit == "fixed":
            return ConcurrencyLimit(send, Fixed(self.concurrency))
        return adaptive_gate(send, self.new_limit, self.limit, self.concurrency)

    def stream(
        self, items: AsyncIterable[Item], send: Send, /, layers: Layers = no_layers
    ) -> AsyncGenerator[Result, None]:
        gate = self._gate(send)
        return Workers(layers(gate), gate, self.queue_size, by_priority=True, patience=self.patience).stream(items)

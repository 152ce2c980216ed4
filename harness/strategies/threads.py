"""A pool of threads, each of which blocks on its own exchange."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass
from typing import ClassVar

from harness.client.checks import between
from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.limits.fixed import Fixed
from harness.client.types import Item, Layers, Result, Send, no_layers
from harness.strategies._workers import Workers


@dataclass(frozen=True)
class Threads:
    """A pool of blocking threads; each future's callback hands its result over.

    Args:
        workers: Threads, and so attempts in flight. Default 20.
    """

    workers: int = 20
    blocking: ClassVar[bool] = True

    def __post_init__(self) -> None:
        between(self, 1, 2_000, "workers")

    @property
    def threads(self) -> int:
        """The number of threads that the blocking transport needs."""
        return self.workers

    def stream(
        self, items: AsyncIterable[Item], send: Send, /, layers: Layers = no_layers
    ) -> AsyncGenerator[Result, None]:
        gate = ConcurrencyLimit(send, Fixed(self.workers))
        return Workers(layers(gate), gate, queue_size=self.workers).stream(items)

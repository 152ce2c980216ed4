"""Adapts the number of attempts in flight to the server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass, fields
from typing import ClassVar

from harness import plugins
from harness.client.checks import between
from harness.client.errors import SettingError
from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.gate.shared import SharedGate, adaptive_gate
from harness.client.types import Item, Layers, Limit, Result, Send, no_layers
from harness.strategies._workers import Workers


@dataclass(frozen=True)
class Adaptive:
    """Adapts the number of attempts in flight to latency and errors; no concurrency to guess.

    Args:
        limit: Concurrency algorithm, a name of `paceline list limits` or `package.module:Class`. Default
            "knee".
        maximum: Upper bound of attempts in flight. Default 200.
        seek: What the limit "knee" seeks, by the own attempts that wait at the server: "latency" (hardly any),
            "balanced" (few) or "throughput" (more). Default "balanced".
        server_queue: Whether a limit that can uses the queueing delays that the server reports. Default True.
        shared: Whether the applications of one process that send to one server share one limit. Default True.
    """

    limit: str = "knee"
    maximum: int = 200
    seek: str = "balanced"
    server_queue: bool = True
    shared: bool = True
    blocking: ClassVar[bool] = False

    def __post_init__(self) -> None:
        between(self, 1, 100_000, "maximum")
        # Reject an unknown limit, or a maximum below its minimum, here and not in a child process.
        self.new_limit()

    def new_limit(self, initial: int | None = None) -> Limit:
        """A new limit; one that can begins with `initial` attempts in flight, of at most `maximum`."""
        known = {field.name for field in fields(plugins.load("limit", self.limit))}
        settings: dict[str, int | str] = {"maximum": self.maximum} if "maximum" in known else {}
        if self.seek != Adaptive.seek:
            if "seek" not in known:
                raise SettingError(f"seek={self.seek} is no setting of the limit {self.limit}; the limit knee has it")
            settings["seek"] = self.seek
        if "server_queue" in known:
            settings["server_queue"] = self.server_queue
        if initial is not None and "initial" in known:
            settings["initial"] = min(initial, self.maximum)
        limit: Limit = plugins.build("limit", self.limit, settings)
        return limit

    @property
    def memory_name(self) -> str:
        """Name under which a memory keeps the findings: a limit that seeks something else rests elsewhere."""
        return self.limit if self.seek == Adaptive.seek else f"{self.limit}:seek={self.seek}"

    @property
    def _settings(self) -> tuple[int, str, bool]:
        """Applications share a limit only if these are the same."""
        return self.maximum, self.seek, self.server_queue

    def _gate(self, send: Send) -> ConcurrencyLimit | SharedGate:
        return adaptive_gate(send, self.new_limit, self.memory_name, self._settings, self.shared)

    def stream(
        self, items: AsyncIterable[Item], send: Send, /, layers: Layers = no_layers
    ) -> AsyncGenerator[Result, None]:
        gate = self._gate(send)
        return Workers(layers(gate), gate, queue_size=2 * self.maximum).stream(items)

"""What one process must know to play its part of a case: plain data, handed over as JSON."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec

from harness import plugins
from harness.client.errors import UsageError
from harness.client.protocols import PriorityStrategy, gate_of, provides
from harness.client.types import Send, Strategy, Task
from harness.experiment import layering
from harness.load.feed import Mix, Source
from harness.load.schedule import BACKLOG, Schedule, compute
from harness.load.workloads.jsonl import Jsonl
from harness.load.workloads.synthetic import Synthetic
from harness.measure.result import Named

DEFAULT_SEED = 1
SAMPLE_PAIRS = Path(__file__).parents[2] / "scenarios" / "data" / "pairs.jsonl"
"""Sentence pairs in English and Chinese, shipped with the package."""


class LayerSettings(msgspec.Struct, frozen=True):
    """What is put around a strategy. Nothing by default: each strategy is measured bare."""

    timeout_s: float = 60.0  # of one attempt
    retries: int = 0
    rate_limit_per_s: float | None = None
    deadline_s: float | None = None  # from an item's due time to its answer, over all attempts
    retry_budget: bool = False  # retries and hedges spend from one purse, which successes fill
    named: dict[str, dict[str, Any]] = {}  # further layers by name, checked (`layering.parse`)

    def __post_init__(self) -> None:
        for name in ("timeout_s", "rate_limit_per_s", "deadline_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1e6:
                raise UsageError(f"{name}={value!r} must be above 0 and below 1000000")
        if not 0 <= self.retries <= 100:
            raise UsageError(f"retries={self.retries} must be between 0 and 100")

    @property
    def keeps_answers(self) -> bool:
        """A layer keeps answers in a file, beyond this run."""
        return any("path" in settings for settings in self.named.values())

    def all(self) -> layering.Named:
        """Every layer by name; what is said of one by name wins over the short field."""
        short: layering.Named = {}
        if self.deadline_s is not None:
            short["deadline"] = {"timeout_s": self.deadline_s}
        if self.retries:
            short["retry"] = {"retries": self.retries}
        if self.rate_limit_per_s is not None:
            short["rate-limit"] = {"rate_per_s": self.rate_limit_per_s}
        return {name: {**short.get(name, {}), **self.named.get(name, {})} for name in [*short, *self.named]}

    def told(self) -> dict[str, Any]:
        """For the result file and reports: plain values and words."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return {key: value for key, value in plain.items() if key != "named"} | layering.words(self.named)

    def around(self, named: layering.Named) -> LayerSettings:
        """The same with these layers, too; settings given here win."""
        return msgspec.structs.replace(self, named={**self.named, **named}) if named else self


class TaskShare(msgspec.Struct, frozen=True):
    """A task and its weight in a mixed load."""

    task: Named
    weight: float = 1.0


class CaseSpec(msgspec.Struct, frozen=True):
    """One repeat of one case."""

    name: str
    target: str
    strategy: Named
    tasks: list[TaskShare]
    records: str  # directory of the record files
    load: Named = Named(BACKLOG)
    duration_s: float = 30.0  # of arrivals
    items: int | None = None
    input: str | None = None
    synthetic: dict[str, Any] | None = None  # settings of the synthetic workload; None: use `input`
    layers: LayerSettings = LayerSettings()
    seed: int = DEFAULT_SEED
    repeat: int = 0
    users: int = 1
    drain_s: float = 30.0  # how long requests in flight may take after the end or a stop

    def __post_init__(self) -> None:
        for name, low, high in (("users", 1, 10_000), ("drain_s", 0, 3_600), ("duration_s", 0.01, 864_000)):
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"{name}={getattr(self, name)!r} must be between {low:g} and {high:g}")
        if self.items is not None and not 1 <= self.items <= 10**12:
            raise UsageError(f"items={self.items} must be at least 1")

    def build_strategy(self) -> Strategy:
        """The strategy with its settings."""
        strategy: Strategy = plugins.build("strategy", self.strategy.name, self.strategy.settings)
        return strategy

    def build_mix(self) -> Mix:
        """The tasks by weight."""
        tasks: list[tuple[Task, float]] = [
            (plugins.build("task", share.task.name, share.task.settings), share.weight) for share in self.tasks
        ]
        return Mix(tasks, self.seed)

    def build_source(self, strategy: Strategy) -> Source:
        """A fresh reader of the workload, for a client application with this strategy."""
        backlog = self.load.name == BACKLOG
        jsonl = None
        if self.input is not None:
            jsonl = Jsonl(self.input, self.items if backlog else None, uses_priorities(strategy))
        synthetic: Synthetic = Synthetic(**(self.synthetic or {}))
        return Source(jsonl, synthetic, self.items, self.seed)

    def build_schedule(self) -> Schedule:
        """The whole load's due times."""
        return compute(self.load.name, self.load.settings, self.duration_s, self.items, self.seed)


def uses_priorities(strategy: Strategy) -> bool:
    """Whether a strategy looks at the priorities of items."""
    return provides(strategy, PriorityStrategy) and bool(strategy.priority)


def compose(
    send: Send,
    layers: LayerSettings,
    seed: int,
    closing: AsyncExitStack | None = None,
    server: str = "",
    built: layering.Built | None = None,
) -> Send:
    """The request-level layers around one that makes an attempt, in the order of their places.

    `server` tells the server from others (`harness.experiment.target.identity`), for layers that keep answers.
    `built` gets the layers, for their figures.
    """
    from random import Random

    from harness.client.budget import RetryBudget

    named = layers.all()
    if not named:
        return send
    handed = {
        "gate": gate_of(send),
        "budget": RetryBudget() if layers.retry_budget else None,
        "server": server,
    }
    return layering.build(send, named, handed, Random(seed), closing, built)

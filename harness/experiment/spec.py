"""A case and one repeat of it as plain data, and the objects built from them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness import plugins
from harness.client.protocols import uses_priorities
from harness.client.types import Strategy, Task
from harness.experiment.prompts import built
from harness.load.feed import Mix, Source
from harness.load.schedule import Schedule, compute
from harness.load.workloads.jsonl import Jsonl
from harness.load.workloads.prompts import Prompts
from harness.load.workloads.synthetic import Synthetic
from harness.measure.record.plan import PlanCase

SAMPLE_PAIRS = Path(__file__).parents[2] / "scenarios" / "data" / "pairs.jsonl"
"""Sentence pairs in English and Chinese, shipped with the package."""


class CaseSpec(PlanCase, frozen=True):
    """A case that can build its strategy, tasks, workload and schedule."""

    def trial(self, target: str, records: Path, repeat: int = 0) -> Trial:
        """One repeat of it, ready to be played."""
        own = msgspec.structs.asdict(self)
        if self.schedules:
            own |= {"seed": self.seed + repeat, "scheduled": self.scheduled_in(repeat)}
        return Trial(**own, target=target, records=str(records), repeat=repeat)

    def with_own_schedules(self, repeats: int) -> CaseSpec:
        """The case with this many repeats, each with arrivals and texts of its own, but the same for all cases."""
        hashes, counts = list(self.schedules[:repeats]), list(self.scheduled_each[:repeats])
        for repeat in range(len(hashes), repeats):
            made = compute(self.load.name, self.load.settings, self.duration_s, self.items, self.seed + repeat)
            hashes.append(made.sha256)
            counts += [len(made)] if len(made) else []
        return msgspec.structs.replace(self, repeats=repeats, schedules=hashes, scheduled_each=counts)

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
        jsonl = None
        if self.input is not None:
            items = self.items if self.is_backlog else None
            jsonl = Jsonl(self.input, items, uses_priorities(strategy), self.columns, self.reading)
        return Source(jsonl, self.build_prompts() or Synthetic(**(self.synthetic or {})), self.items, self.seed)

    def build_prompts(self) -> Prompts | None:
        """The made-up prompts, if their lengths are in tokens. Cases and repeats have other words of equal lengths."""
        return None if self.prompts is None else built(self.prompts, self._salt)

    @property
    def _salt(self) -> str:
        return self.name

    def build_schedule(self) -> Schedule:
        """The whole load's due times."""
        return compute(self.load.name, self.load.settings, self.duration_s, self.items, self.seed)


class Trial(CaseSpec, frozen=True, kw_only=True):
    """One repeat of a case: handed as JSON to the process that plays it."""

    target: str  # the server's URL
    records: str  # directory of the record files
    repeat: int = 0

    @property
    def _salt(self) -> str:
        return f"{self.name}/{self.repeat}"

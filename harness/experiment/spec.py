"""A case and one repeat of it as plain data, and the objects built from them."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from harness import plugins
from harness.client.prompt_settings import PromptSettings
from harness.client.protocols import uses_priorities
from harness.client.types import Strategy, Task
from harness.experiment.prompts import built, is_full, texts_of
from harness.load.chat_rows import parameters_of
from harness.load.feed import MadeUp, Mix, Source
from harness.load.pacers.replay import Replay
from harness.load.schedule import SESSIONS, Schedule, compute
from harness.load.sessions.load import Sessions, sessions_of
from harness.load.traces.closed_turns import Turns
from harness.load.traces.trace_prompts import TracePrompts, befores
from harness.load.workloads.jsonl import Jsonl
from harness.load.workloads.prompts import Prompts
from harness.load.workloads.synthetic import Synthetic
from harness.measure.prompt_result import PromptPlan
from harness.measure.record.plan import PlanCase

SAMPLE_PAIRS = Path(__file__).parents[2] / "scenarios" / "data" / "pairs.jsonl"
"""Sentence pairs in English and Chinese, shipped with the package."""
TRIAL_VARIABLE = "PACELINE_CASE"
"""Environment variable of a process that plays a trial: the trial's file."""


def default_workload(tasks: list[str]) -> dict[str, Any]:
    """Fields of a case for which no data is named: the shipped pairs where they fit, else made-up texts."""
    return {"input": str(SAMPLE_PAIRS)} if tasks == ["similarity"] else {"synthetic": {}}


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

    def build_source(self, strategy: Strategy, prompts: MadeUp | None = None) -> Source:
        """A fresh reader of the workload, for a client application with this strategy."""
        jsonl = None
        if self.input is not None:
            items = self.items if self.is_backlog else None
            jsonl = Jsonl(self.input, items, uses_priorities(strategy), self.columns, self.reading)
        return Source(jsonl, self._made_up(prompts), self.items, self.seed)

    def _made_up(self, prompts: MadeUp | None = None) -> MadeUp:
        """The texts of a case without a file."""
        return prompts or self.build_prompts() or Synthetic(**(self.synthetic or {}))

    def build_prompts(self) -> Prompts | TracePrompts | None:
        """The made-up prompts, if their lengths are in tokens. Cases and repeats have other words of equal lengths."""
        parameters = parameters_of(self.reading.parameters)
        if self.trace is not None:
            replay, trace = self._replay(), self.trace
            made = replay.played(Random(self.seed))
            plan = self.prompts or PromptPlan(PromptSettings())
            return TracePrompts(
                replay.rows(),
                made,
                texts_of(plan),
                trace.block_tokens,
                keeps_history=trace.keeps_history,
                full=is_full(plan),
                salt=self._salt,
                parameters=parameters,
            )
        return None if self.prompts is None else built(self.prompts, self._salt, parameters)

    def build_turns(self) -> Turns | None:
        """The order of turns in closed sessions; None without them."""
        if self.trace is None or not self.trace.closed:
            return None
        replay = self._replay()
        return Turns(befores(replay.rows(), replay.played(Random(self.seed))))

    def _replay(self) -> Replay:
        replay: Replay = plugins.build("load", self.load.name, self.load.settings)
        return replay

    @property
    def _salt(self) -> str:
        return self.name

    def build_sessions(self) -> Sessions | None:
        """The sessions of the load; None if it has none. Raises UsageError."""
        if self.load.name != SESSIONS:
            return None
        jsonl = None if self.input is None else Jsonl(self.input, columns=self.columns, reading=self.reading)
        task = self.build_mix().tasks[0]
        return sessions_of(self.load.settings, self.duration_s, self.seed, task, jsonl, self._made_up)

    def build_schedule(self) -> Schedule:
        """The whole load's due times; of sessions, whose due times depend on answers, only the hash."""
        if (sessions := self.build_sessions()) is not None:
            return sessions.plan.schedule()
        return compute(self.load.name, self.load.settings, self.duration_s, self.items, self.seed)


class Trial(CaseSpec, frozen=True, kw_only=True):
    """One repeat of a case: handed as JSON to the process that plays it."""

    target: str  # the server's URL
    records: str  # directory of the record files
    repeat: int = 0

    def as_json(self) -> bytes:
        """For the process that plays it."""
        return msgspec.json.format(msgspec.json.encode(self))

    @staticmethod
    def from_json(text: bytes | str) -> Trial:
        """The trial that another process wrote."""
        return msgspec.json.decode(text, type=Trial)

    @staticmethod
    def from_parent() -> Trial | None:
        """The trial that the parent process wrote for this one, if there is one."""
        path = os.environ.get(TRIAL_VARIABLE)
        return Trial.from_json(Path(path).read_bytes()) if path else None

    @property
    def _salt(self) -> str:
        return f"{self.name}/{self.repeat}"

"""Settings of an engine, and the error for a user's mistake in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from model_server.engines.shapes import SHAPES
from model_server.engines.tasks import TASKS

Dtype = Literal["auto", "float32", "bfloat16"]
RANDOM_NOTE = "random weights: answers are meaningless"


class EngineError(ValueError):
    """The engine cannot be built with these settings; the message is one line for the user."""


@dataclass(frozen=True)
class Source:
    """Source of one task's model: a folder or hub id, or, if `random`, the name of a shape."""

    task: str
    name: str
    random: bool = False

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise EngineError(f"task {self.task!r}: must be one of {', '.join(TASKS)}")
        if not self.name:
            raise EngineError(f"the model of task {self.task}: must not be empty")
        if self.random and self.name not in SHAPES:
            raise EngineError(f"random weights {self.name!r}: must be one of {', '.join(SHAPES)}")
        if self.random and SHAPES[self.name].family not in TASKS[self.task].families:
            fitting = [name for name, shape in SHAPES.items() if shape.family in TASKS[self.task].families]
            raise EngineError(f"random weights {self.name!r} do not fit task {self.task}; {', '.join(fitting)} do")


@dataclass(frozen=True)
class EngineSettings:
    """Settings of an engine, with one source per task. `warm_s` bounds the warm-up; 0 skips it."""

    sources: tuple[Source, ...]
    dtype: Dtype = "auto"
    device: str = "auto"  # or a torch device: cpu, cuda, cuda:1
    threads: int = 1
    warm_s: float = 10.0
    rows_max: int = 32  # largest batch of the warm-up
    running_max: int = 16  # sequences that share a decode step
    seed: int = 0  # seed of random weights

    def __post_init__(self) -> None:
        if not self.sources:
            raise EngineError(f"sources = (): must name at least one task of {', '.join(TASKS)}")
        if self.dtype not in ("auto", "float32", "bfloat16"):
            raise EngineError(f"dtype = {self.dtype!r}: must be auto, float32 or bfloat16")
        for name in ("threads", "rows_max", "running_max"):
            if getattr(self, name) < 1:
                raise EngineError(f"{name} = {getattr(self, name)!r}: must be an integer >= 1")
        if not 0 <= self.warm_s <= 3600:
            raise EngineError(f"warm_s = {self.warm_s!r}: must be a number in 0..3600")
        models: dict[str, tuple[str, bool]] = {}
        for source in self.sources:
            kind, model = TASKS[source.task].kind, (source.name, source.random)
            if models.setdefault(kind, model) != model:
                raise EngineError(f"task {source.task}: {kind} has the model {models[kind][0]} already")


def sources(tasks: list[str], models: list[str], random: str | None) -> tuple[Source, ...]:
    """One source per task, from the options of a command line.

    `models` are `NAME` (for every task) or `TASK=NAME`. `random` is None for no random weights, else a comma list of
    shapes in the same format; the empty text means each task's default shape. Raises `EngineError`.
    """
    named = _by_task(models, tasks, "--model")
    shaped = _by_task([part for part in (random or "").split(",") if part], tasks, "--random-weights")
    found = []
    for task in tasks:
        if task not in TASKS:
            raise EngineError(f"task {task!r}: must be one of {', '.join(TASKS)}")
        model = named.get(task, named.get(""))
        if model is not None and (random is None or task in named):
            found.append(Source(task, model))
        elif random is None:
            raise EngineError(f"task {task} has no model: give --model ID or FOLDER, or --random-weights")
        else:
            found.append(Source(task, shaped.get(task, shaped.get("", TASKS[task].shape)), random=True))
    return tuple(found)


def _by_task(given: list[str], tasks: list[str], option: str) -> dict[str, str]:
    """The names by task: `NAME` with the empty task as its key, `TASK=NAME` with its task."""
    found: dict[str, str] = {}
    for entry in given:
        head, mark, tail = entry.partition("=")
        task, name = (head, tail) if mark and head in TASKS else ("", entry)
        if task and task not in tasks:
            raise EngineError(f"{option} {entry}: task {task} is not served; --task says {', '.join(tasks)}")
        if task in found:
            raise EngineError(f"{option} {entry}: a second one for {task or 'every task'}; write TASK=NAME")
        found[task] = name
    return found

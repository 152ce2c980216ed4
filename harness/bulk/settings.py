"""What a run is to do: plain data, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from harness.client.checks import at_least, between
from harness.client.errors import SettingError, UsageError
from harness.client.layer_settings import LayerSettings

SUFFIX_DEAD = ".dead.jsonl"


@dataclass(frozen=True)
class Settings:
    """One input, one output; the rest has defaults fit for production."""

    input: str  # a path, or - for standard input; gzip and Zstandard are known by their content
    output: str  # a path, or - for standard output; .gz and .zst are packed
    target: str | None = None  # base URL; none: `send` is given
    tasks: tuple[str, ...] = ()  # NAME[:key=value]; with several, or none, each row names its task
    strategy: str = "adaptive"
    layers: LayerSettings = field(default_factory=lambda: LayerSettings(retries=3))
    order: Literal["input", "completion"] = "input"
    window: int = 10_000  # lines between the oldest unfinished one and the newest given out
    resume: bool = False  # go on where an earlier run was ended, if there was one
    overwrite: bool = False  # start anew, whatever lies there
    dead_letter: str | None = None  # none: beside the output, as NAME.dead.jsonl
    errors_max: float = 0.05  # share of dead letters among the last 1000 lines that stops the run
    errors_least: int = 100  # lines that it takes to tell
    patience_s: float = 60.0  # how long a server that cannot be reached is waited for
    drain_s: float = 10.0  # how long what is in flight may take after a stop
    id_field: str = "id"
    task_field: str = "task"  # with several tasks: where a row names its own
    priority_field: str = "priority"
    with_input: bool = False  # the row itself in each output line
    seed: int = 1  # of the retries' jitter

    def __post_init__(self) -> None:
        between(self, 1, 10_000_000, "window")
        between(self, 0, 1, "errors_max")
        at_least(self, 1, "errors_least")
        at_least(self, 0, "patience_s", "drain_s")
        if self.order not in {"input", "completion"}:
            raise SettingError(f"order={self.order!r} must be input or completion")
        if self.resume and self.overwrite:
            raise UsageError("--resume goes on with what is there, --overwrite starts anew: only one of them")
        if self.output == "-" and self.dead_letter is None:
            raise UsageError("--output - needs --dead-letter FILE, for the lines that get no answer")

    @property
    def dead_letter_path(self) -> str:
        """Where lines go that get no answer."""
        return self.dead_letter or self.output + SUFFIX_DEAD

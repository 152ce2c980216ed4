"""The options of a gate: which two sides it compares, by which figures, and how long."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.base.options import option
from harness.base.quantity import duration_s, share
from harness.client.errors import UsageError
from harness.measure.judge.compared_figures import named
from harness.measure.judge.conditions import FinishedRun
from harness.measure.judge.gate_capacity import CAPACITY_LIMIT
from harness.measure.judge.gate_checks import LIMIT
from harness.measure.reduce.finished import read_finished


@dataclass(frozen=True)
class GateSettings:
    """The options of a gate."""

    baseline: str | None = option(None, "Run directory to hold the candidate against.", metavar="DIR")
    baseline_cmd: str | None = option(None, "Command that starts the baseline server; {port} is a free port.")
    candidate_cmd: str | None = option(None, "Command that starts the candidate server; {port} is a free port.")
    baseline_target: str | None = option(None, "URL of a baseline server that is running.", metavar="URL")
    start_timeout_s: float = option(60.0, "Seconds to wait for a started server to answer.", kind=duration_s)
    limit: float = option(LIMIT, "Change for the worse that does not count.", kind=share)
    figures: tuple[str, ...] = option(
        (), "Figure to judge, such as p95; repeatable [default: few that fit the load].", flag="--figure"
    )
    pairs: int = option(8, "Pairs of the first stage, or repeats of the candidate.", least=1, most=500)
    pairs_max: int = option(16, "Pairs after the second stage.", least=1, most=500)
    baseline_capacity: str | None = option(
        None, "Capacity search or sweep of the baseline, a run directory.", metavar="DIR"
    )
    candidate_capacity: str | None = option(None, "Capacity search or sweep of the candidate.", metavar="DIR")
    capacity_limit: float = option(CAPACITY_LIMIT, "Fall of the capacity that does not count.", kind=share)

    @property
    def plays(self) -> bool:
        """Whether a side is played, and not only stored capacities compared."""
        return any(side is not None for side in (self.baseline, self.baseline_cmd, self.baseline_target))

    @property
    def confirmation(self) -> int:
        """Pairs in which a failure has to repeat itself: as many as the first stage, or half of both."""
        return max(self.pairs, self.pairs_max // 2)

    def check(self, target: str | None) -> None:
        """Raise UsageError unless it says which two sides to compare."""
        named(self.figures)
        sides = [self.baseline, self.baseline_cmd, self.baseline_target]
        if (self.baseline_capacity is None) != (self.candidate_capacity is None):
            raise UsageError("--baseline-capacity and --candidate-capacity are given together")
        candidates = [self.candidate_cmd, target]
        only_capacity = self.baseline_capacity is not None and candidates == [None, None]
        if sum(side is not None for side in sides) != 1 and not (only_capacity and not self.plays):
            raise UsageError("name the baseline with one of --baseline DIR, --baseline-cmd or --baseline-target URL")
        if None not in candidates:
            raise UsageError("--candidate-cmd and --target exclude each other: the candidate is one of them")
        if self.baseline is None and self.plays and candidates == [None, None]:
            raise UsageError("name the candidate with --candidate-cmd or --target URL")
        if self.pairs_max < self.pairs:
            raise UsageError(f"--pairs-max {self.pairs_max}: must be at least --pairs {self.pairs}")

    def capacities(self) -> tuple[FinishedRun, FinishedRun] | None:
        """The capacity searches of baseline and candidate, if there are any. Raises UsageError."""
        if self.baseline_capacity is None or self.candidate_capacity is None:
            return None
        return read_finished(Path(self.baseline_capacity)), read_finished(Path(self.candidate_capacity))

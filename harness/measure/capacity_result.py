"""The questions and answers of a capacity search: parts of plan.json and of result.json."""

from __future__ import annotations

from typing import Literal

import msgspec

from harness.client.checks import between
from harness.client.errors import UsageError

By = Literal["concurrency", "rate"]
State = Literal["passed", "failed", "unresolved", "invalid"]
"""Of one tier at one load. invalid: the measurement itself cannot be trusted, so the load is no bound."""
Ended = Literal["answered", "unresolved", "at_highest", "fails", "invalid", "budget", "stopped"]

ENDED: dict[str, str] = {
    "answered": "the interval is as narrow as asked for",
    "unresolved": "the loads inside the interval stayed undecided, so it is wider than asked for",
    "at_highest": "the highest load allowed still holds the SLO; the capacity is at or above it",
    "fails": "the SLO fails at the lowest load tried",
    "invalid": "probes that decide could not be measured, for example because the client was starved",
    "budget": "the budget of probes or seconds was spent first",
    "stopped": "the run was stopped before the end of the search",
}
"""How a search ended, and the meaning of that."""


class CapacityPlan(msgspec.Struct, frozen=True):
    """The settings of a capacity search. With the records they are enough to compute the answer again."""

    tiers: list[str]
    by: list[By]
    width: float = 0.15
    start_rate: float = 10.0
    start_concurrency: int = 4
    lowest_rate: float = 0.1
    highest_rate: float = 100_000.0
    highest_concurrency: int = 4096
    trial_s: float = 10.0
    warmup_s: float = 2.0
    trials: int = 4
    trials_max: int = 64
    probes_max: int = 40
    budget_s: float = 3600.0
    confirm_s: float = 60.0  # 0: no confirmation run

    def __post_init__(self) -> None:
        checks: list[tuple[str, float, float]] = [
            ("width", 0.01, 1.0),
            ("start_rate", 0.01, 1e6),
            ("start_concurrency", 1, 100_000),
            ("lowest_rate", 1e-3, 1e6),
            ("highest_rate", 1e-3, 1e6),
            ("highest_concurrency", 1, 100_000),
            ("trial_s", 0.1, 3600),
            ("warmup_s", 0, 3600),
            ("trials", 3, 100),
            ("trials_max", 3, 400),
            ("probes_max", 1, 1000),
            ("budget_s", 1, 864_000),
            ("confirm_s", 0, 36_000),
        ]
        for name, low, high in checks:
            between(self, low, high, name)
        if self.trials_max < self.trials:
            raise UsageError(f"trials_max={self.trials_max}: must be at least trials={self.trials}")
        if not self.tiers or not self.by:
            raise UsageError("a capacity search needs an SLO, and at least one of concurrency and rate")


class Figure(msgspec.Struct, frozen=True):
    """One condition of the SLO on the pooled trials of a probe. Seconds, or a share."""

    condition: str  # as it is judged: under concurrency p99 is judged as service_p99
    value: float | None = None
    low: float | None = None  # of the 95 % interval; null where the trials cannot bound it
    high: float | None = None
    limit: float = 0.0
    state: State = "unresolved"


class Probe(msgspec.Struct, frozen=True):
    """One load that was tried, with its evidence."""

    case: str
    by: By
    load: float  # per second, or calls in flight
    states: list[State] = []  # by tier
    figures: list[Figure] = []  # each condition once, and for a rate the growth of the backlog
    trials: int = 0
    trials_invalid: int = 0
    requests: int = 0  # after the warm-up
    completed_per_s: float | None = None
    seconds: float = 0.0  # of load, invalid trials included
    saturated: bool = False  # arrivals piled up in every trial
    confirmation: bool = False  # the one long run at a load that short trials have passed
    fault: str = ""  # why a trial was invalid: that of the last one
    reason: str = ""  # why it failed, stayed unresolved or is invalid


class Capacity(msgspec.Struct, frozen=True):
    """The answer for one tier: the highest load that holds the SLO lies between `low` and `high`."""

    by: By
    slo: str
    ended: Ended
    low: float | None = None  # the highest load that passed
    high: float | None = None  # the lowest load that failed
    confirmed: bool = False  # by the long run
    text: str = ""
    notes: list[str] = []


class CapacityResult(msgspec.Struct, frozen=True):
    """All answers of a capacity search, and every probe in the order in which it was first tried."""

    answers: list[Capacity]
    probes: list[Probe]
    seconds: float  # of load
    settings: CapacityPlan

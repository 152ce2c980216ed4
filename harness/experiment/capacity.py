"""A capacity search as an order of a run: each probe is a case, each trial a repeat of it.

Rules of this file
  1. `judge.capacity.search` decides; this file only makes the cases and reads what was recorded.
  2. Each trial has arrivals and texts of its own. Trials with the same arrivals would agree too well.
  3. A trial is as long as `trial_s`, as 20 times the longest time that the SLO allows (a queue that grows slowly must
     have the time to show), or as the number of requests that an interval needs.
  4. Invalid trials are played again, a few times. Two saturated trials in a row end a probe.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import msgspec

from harness.base.options import option
from harness.base.quantity import NONE, duration_s, rate_per_s, share
from harness.client.errors import UsageError
from harness.experiment.cases import cases
from harness.experiment.prepare import Run, prepare
from harness.experiment.replayed import at_rate, recorded_per_s
from harness.experiment.scenario import Description
from harness.experiment.session_cases import with_one_user
from harness.experiment.settings import RunSettings
from harness.experiment.spec import CaseSpec
from harness.measure.capacity_result import By, CapacityPlan, Probe
from harness.measure.judge.capacity.answers import rules_of, seen_of
from harness.measure.judge.capacity.probes import longest_bound_s, requests_needed, tiers_of
from harness.measure.judge.capacity.search import Ask, next_step
from harness.measure.reduce.capacity_probes import (
    INVALID_MAX,
    fault_of,
    is_short,
    judged,
    name_of,
    tolerated_s,
    trial_samples,
)
from harness.measure.reduce.summary import Observed
from harness.measure.reduce.trial_samples import TrialSample

BOUND_TIMES = 20.0
"""A trial lasts this many times the longest time of the SLO."""
CYCLES = 20
"""Items of a backlog for each call in flight, at least."""
ITEMS_MOST = 10_000_000
"""Items of a backlog that was made longer because it ended early, as one does that a server refuses at once."""
START_SHARE = 0.5
"""The search by rate begins at this share of the throughput that the search by concurrency found."""
OPEN, CLOSED = "unbounded", "queue-stream"


@dataclass(frozen=True)
class CapacitySettings:
    """The options of a capacity search."""

    slo: tuple[str, ...] = option(
        (), 'SLO such as "p99<500ms,errors<1%"; repeat it, or use ";", for several tiers.', metavar="CONDITIONS"
    )
    by: str = option(
        "both", "Search the rate (open loop), the concurrency (closed loop), or both; of a trace only the rate.",
        choices=("rate", "concurrency", "both"),
    )  # fmt: skip
    width: float = option(0.15, "Width of the answer, as a share of its lower end.", kind=share)
    start: float | None = option(
        None, "First rate [default: half of the throughput by concurrency, else 10/s].", kind=rate_per_s
    )
    start_concurrency: int = option(4, "First concurrency.", least=1, most=100_000)
    highest: float = option(100_000.0, "Highest rate.", kind=rate_per_s)
    highest_concurrency: int = option(4096, "Highest concurrency.", least=1, most=100_000)
    trial_s: float = option(10.0, "Seconds of a trial, warm-up excluded, at least.", kind=duration_s)
    warmup_s: float = option(2.0, "Seconds at the start of each trial that do not count.", kind=duration_s)
    trials: int = option(4, "Trials of a probe.", least=3, most=100)
    trials_max: int = option(64, "Trials of a probe that stays undecided.", least=3, most=400)
    probes: int = option(40, "Budget of probes.", least=1, most=1000)
    budget_s: float = option(3600.0, "Budget of seconds of load, shared by rate and concurrency.", kind=duration_s)
    confirm_s: float = option(60.0, "Seconds of the confirmation run; 0 for none.", kind=duration_s)

    def plan(self) -> CapacityPlan:
        """The same, checked. Raises UsageError."""
        by: list[By] = (
            ["concurrency", "rate"] if self.by == "both" else ["rate" if self.by == "rate" else "concurrency"]
        )
        tiers = tiers_of(self.slo, by)
        return CapacityPlan(
            tiers=tiers,
            by=by,
            width=self.width,
            start_rate=self.start or 10.0,
            start_concurrency=self.start_concurrency,
            highest_rate=self.highest,
            highest_concurrency=self.highest_concurrency,
            trial_s=max(self.trial_s, BOUND_TIMES * longest_bound_s(tiers)),
            warmup_s=self.warmup_s,
            trials=self.trials,
            trials_max=self.trials_max,
            probes_max=self.probes,
            budget_s=self.budget_s,
            confirm_s=self.confirm_s and max(self.confirm_s, 3 * BOUND_TIMES * longest_bound_s(tiers)),
        )


def prepare_capacity(settings: RunSettings, wanted: CapacitySettings) -> tuple[Run, CapacityOrder]:
    """A checked run with its first case, and the order that plays the search."""
    if settings.trace.trace is not None:
        if wanted.by == "concurrency":
            raise UsageError("--trace needs --by rate: the trace has arrivals, and a search by concurrency has none")
        wanted = replace(wanted, by="rate", start=wanted.start or float(f"{recorded_per_s(settings):.3g}"))
    plan = wanted.plan()
    if "concurrency" in plan.by:
        settings = with_one_user(settings)
    makers: list[CaseMaker] = []

    def planned(checked: RunSettings, scenario: type[Description]) -> list[CaseSpec]:
        makers.append(CaseMaker(checked, scenario, plan))
        by = plan.by[0]
        return [makers[0].case(by, rules_of(plan, by).start, plan.trial_s, None)]

    run = prepare(settings, kind="capacity", planned=planned)
    # Each trial is judged while the search runs, so its tolerance is part of the plan.
    lag_tolerance_s = tolerated_s(settings.lag_tolerance, plan)
    run.plan = msgspec.structs.replace(run.plan, capacity=plan, lag_tolerance_s=lag_tolerance_s)
    run.order = order = CapacityOrder(run, plan, makers[0], start_given=wanted.start is not None)
    return run, order


@dataclass(frozen=True)
class CaseMaker:
    """Makes the case of a probe."""

    settings: RunSettings
    scenario: type[Description]
    plan: CapacityPlan

    def case(self, by: By, load: float, seconds: float, per_s: float | None, confirmation: bool = False) -> CaseSpec:
        """The case of a load for trials of `seconds`. `per_s` is the throughput expected of a backlog."""
        needed = math.ceil(requests_needed(self.plan.tiers, self.plan.trials) / self.plan.trials)
        seconds += self.plan.warmup_s
        name = name_of(by, load, confirmation)
        # Calls that are still in the system long after the last arrival have broken the SLO.
        drain_s = min(self.settings.drain_s, max(4 * longest_bound_s(self.plan.tiers), 2.0))
        if by == "rate":
            items = math.ceil(load * self.plan.warmup_s) + max(needed, math.ceil(load * (seconds - self.plan.warmup_s)))
            return self._one(
                name, OPEN, load="poisson", rate=load, items=items, duration=3 * items / load + 60, drain_s=drain_s
            )
        # Answers within the warm-up do not count.
        uncounted = 2 * load + (per_s or 0.0) * self.plan.warmup_s
        items = math.ceil(max(CYCLES * load, needed + uncounted, (per_s or 0.0) * seconds))
        return self._one(
            name, f"{CLOSED}:concurrency={load:.0f}", load=None, items=items, drain_s=self.settings.drain_s
        )

    def _one(self, name: str, strategy: str, **more: object) -> CaseSpec:
        # The search judges the tiers by itself; here they say whether the task streams.
        more |= {"slo": ",".join(self.plan.tiers), "strategies": (strategy,), "variants": (), "warmup": NONE}
        settings = replace(self.settings, **more)  # type: ignore[arg-type] # as above
        if settings.trace.trace is not None:
            settings = at_rate(settings, settings.rate or 1.0, settings.duration or 1.0)
        return cases(settings, self.scenario, name)[0]


@dataclass
class Trials:
    """The trials of a probe while the search runs."""

    case: CaseSpec
    valid: list[list[TrialSample]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def played(self) -> int:
        """Trials, valid or not."""
        return len(self.valid) + len(self.faults)


class CapacityOrder:
    """Yields the trials of the next probe until the search is over."""

    def __init__(
        self,
        run: Run,
        plan: CapacityPlan,
        maker: CaseMaker,
        start_given: bool = False,
        tell: Callable[[Probe, int], None] = lambda probe, number: None,
    ) -> None:
        self._directory = run.directory
        self._plan = plan
        self._maker = maker
        self._start_given = start_given
        self._by_case: dict[str, Trials] = {}
        self.tell = tell

    def __iter__(self) -> Iterator[tuple[CaseSpec, int]]:
        for by in self._plan.by:
            rules = rules_of(self._plan, by, self._start(by))
            while (asked := next_step(rules, seen_of(self.probes(), by))) is not None:
                yield from self.trials(by, asked)

    def ended(self, case: CaseSpec, repeat: int, observe: Callable[[], Observed]) -> None:
        """Keep the samples of a trial, or its fault."""
        trials, observed = self._by_case[case.name], observe()
        trials.seconds += 0.0 if observed.case is None else observed.case.makespan_s or 0.0
        if is_short(observed, self._plan) and observed.case is not None and observed.case.makespan_s:
            longer = (self._plan.trial_s + self._plan.warmup_s) / observed.case.makespan_s
            items = min(math.ceil((case.items or 1) * longer), ITEMS_MOST)
            trials.case = msgspec.structs.replace(case, items=max(items, case.items or 1))
        if fault := fault_of(observed, self._plan):
            trials.faults.append(fault)
        else:
            trials.valid.append(trial_samples(self._plan, case, self._directory, repeat))

    def probes(self) -> list[Probe]:
        """Every probe so far."""
        return [self._judged(trials) for trials in self._by_case.values() if trials.played]

    def samples(self, case: str) -> list[list[TrialSample]]:
        """The samples of the valid trials of a probe."""
        return self._by_case[case].valid

    def _judged(self, trials: Trials) -> Probe:
        return judged(self._plan, trials.case, trials.valid, trials.faults, trials.seconds)

    def _start(self, by: By) -> float | None:
        """Where the search by rate begins, once the one by concurrency has shown a throughput."""
        rates = [one.completed_per_s for one in self.probes() if one.completed_per_s and "passed" in one.states]
        if by == "concurrency" or self._start_given or not rates:
            return None
        return float(f"{START_SHARE * max(rates):.2g}")

    def trials(self, by: By, asked: Ask) -> Iterator[tuple[CaseSpec, int]]:
        """The trials that a probe still needs."""
        name = name_of(by, asked.load, asked.confirmation)
        if name not in self._by_case:
            seconds = self._plan.confirm_s if asked.confirmation else self._plan.trial_s
            case = self._maker.case(by, asked.load, seconds, self._expected_per_s(by, asked.load), asked.confirmation)
            self._by_case[name] = Trials(case)
        trials = self._by_case[name]
        wanted, faults_max = len(trials.valid) + asked.trials, len(trials.faults) + INVALID_MAX
        while len(trials.valid) < wanted and len(trials.faults) < faults_max:
            trials.case = trials.case.with_own_schedules(trials.played + 1)
            yield trials.case, trials.played
            if self._judged(trials).saturated and not asked.confirmation:
                # More trials would only add to the queue.
                break
        self.tell(self._judged(trials), len(self._by_case))

    def _expected_per_s(self, by: By, load: float) -> float | None:
        """The throughput of the nearest lower concurrency: a server past its peak has no more."""
        lower = [one for one in self.probes() if one.by == by and one.load <= load and one.completed_per_s]
        if not lower:
            return None
        return max(lower, key=lambda one: one.load).completed_per_s

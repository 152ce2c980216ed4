"""A sweep as an order of a run: one case for each level.

The first repeat ascends and stops at saturation (`judge.sweep.stopping`). Further repeats play the same levels in a
seeded random order, so that drift of the machine favours no level. Without early stop, every repeat does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

import msgspec

from harness import plugins
from harness.base.options import option
from harness.base.quantity import AUTO, duration_s
from harness.client.errors import UsageError
from harness.experiment.cases import cases
from harness.experiment.levels import FORMAT, levels
from harness.experiment.prepare import Run, prepare
from harness.experiment.replayed import at_rate
from harness.experiment.scenario import Description
from harness.experiment.session_cases import with_one_user
from harness.experiment.settings import RunSettings
from harness.experiment.spec import CaseSpec
from harness.measure.judge.capacity.probes import conditions
from harness.measure.judge.slo import parse
from harness.measure.judge.sweep.stopping import FirstRepeat, reason_to_stop, seen
from harness.measure.reduce.summary import Observed
from harness.measure.sweep_result import PlannedLevel, SweepPlan

CLOSED, OPEN = "queue-stream", "unbounded"
CONCURRENCY = "1:256:x2"
CLOSED_S, OPEN_S = 10.0, 20.0
"""Seconds of a level, by concurrency and by rate."""
REQUESTS_MIN, OPEN_LONGEST_S = 330, 60.0
"""A slow rate gets the time for a p99, within limits."""
ITEMS_MAX = 100_000
"""Most items of a level by concurrency, unless --items sets another bound."""


@dataclass(frozen=True)
class SweepSettings:
    """The options of a sweep."""

    concurrency: str | None = option(
        None, f"Requests in flight, closed loop: {FORMAT} [default: {CONCURRENCY}].", metavar="LEVELS"
    )
    rates: str | None = option(None, f"Arrivals per second, open loop: {FORMAT}.", flag="--rate", metavar="LEVELS")
    arrivals: str = option("poisson", "Arrival pattern of --rate.", metavar="NAME[:...]", names="load")
    duration: float | None = option(
        None, f"Seconds of a level [default: {CLOSED_S:g} by concurrency, {OPEN_S:g} by rate].", kind=duration_s
    )
    items: int | None = option(None, "Items of a level by concurrency; with --duration, at most.", kind=int)
    every_level: bool = option(False, "No early stop at saturation; every repeat has a random order.")
    pause_s: float = option(
        1.0,
        "Seconds between two levels, in which the server drains; longer after time-outs. 0: no pause at all.",
        kind=duration_s,
        least=0,
    )

    predicted: str | None = option(
        None, "Profile whose predicted curve is drawn beside the measured one, such as a fitted one.", names="profile"
    )

    @property
    def by(self) -> Literal["concurrency", "rate"]:
        """The swept quantity."""
        return "rate" if self.rates else "concurrency"

    def levels(self) -> list[float]:
        """The levels, ascending. Raises UsageError."""
        if self.concurrency and self.rates:
            raise UsageError("--concurrency and --rate exclude each other: sweep one of them")
        if self.rates and self.items is not None:
            raise UsageError("--items is for --concurrency: at each rate, --duration sets the length of a level")
        if self.rates:
            return levels(self.rates, "--rate", whole=False)
        return levels(self.concurrency or CONCURRENCY)


def prepare_sweep(settings: RunSettings, wanted: SweepSettings) -> tuple[Run, SweepOrder]:
    """A checked run with every level, and the order that plays it. Raises UsageError."""
    found = wanted.levels()
    if settings.trace.trace is not None and wanted.by == "concurrency":
        raise UsageError(
            "--trace needs --rate LEVELS: each level plays the trace at this mean rate. By concurrency there are no "
            "arrivals; lengths alone come from --input-tokens and --output-tokens"
        )
    if len(settings.strategies) > 1:
        raise UsageError("a sweep takes one strategy (-s)")
    if wanted.by == "concurrency":
        settings = with_one_user(settings)
    if settings.repeats == AUTO:
        raise UsageError("--repeats auto: a sweep needs a number of repeats")
    if settings.slo:
        # By concurrency the latency from due time is about the makespan, so the service time is judged.
        settings = replace(settings, slo=",".join(one.text for one in conditions(settings.slo, wanted.by)))

    def planned(checked: RunSettings, scenario: type[Description]) -> list[CaseSpec]:
        return [case_of(checked, scenario, wanted, level) for level in found]

    run = prepare(settings, kind="sweep", planned=planned)
    named = [PlannedLevel(level, case.name) for level, case in zip(found, run.cases, strict=True)]
    # A level joins the plan when it is played: levels above an early stop are not missing.
    plan = SweepPlan(wanted.by, named, wanted.every_level)
    run.plan = msgspec.structs.replace(run.plan, cases=[], sweep=plan)
    run.order = order = SweepOrder(run, plan)
    return run, order


def case_of(settings: RunSettings, scenario: type[Description], wanted: SweepSettings, level: float) -> CaseSpec:
    """The case of a level. Raises UsageError."""
    (strategy,) = settings.strategies or (CLOSED if wanted.by == "concurrency" else OPEN,)
    if wanted.by == "rate":
        of = replace(settings, strategies=(strategy,), load=wanted.arrivals, rate=level)
        repeats = 1 if settings.repeats == AUTO else settings.repeats
        enough_s = min(REQUESTS_MIN / (level * repeats), OPEN_LONGEST_S)
        seconds = settings.duration or max(OPEN_S, enough_s)
        of = at_rate(of, level, seconds) if settings.trace.trace is not None else replace(of, duration=seconds)
        # Repeats with the same arrivals would agree too well.
        return cases(of, scenario, f"rate={level:g}")[0].with_own_schedules(repeats)
    of = replace(settings, strategies=(_at(strategy, level),), load=None, rate=None, duration=None)
    case = cases(replace(of, items=settings.items or ITEMS_MAX), scenario, f"concurrency={level:g}")[0]
    if not case.is_backlog:
        raise UsageError("--concurrency needs a backlog, and this scenario has arrivals")
    timed = settings.duration or (None if settings.items else CLOSED_S)
    return msgspec.structs.replace(case, stop_s=timed)


def _at(strategy: str, level: float) -> str:
    """The strategy with this concurrency."""
    name, given = plugins.split_spec(strategy)
    if "concurrency" in given:
        raise UsageError(f"-s {strategy}: the sweep sets the concurrency")
    if "concurrency" not in plugins.settings_of(plugins.make("strategy", strategy)):
        raise UsageError(f"-s {strategy}: has no setting `concurrency`; use queue-stream")
    values = ",".join(f"{key}={value}" for key, value in {**given, "concurrency": f"{level:.0f}"}.items())
    return f"{name}:{values}"


class SweepOrder:
    """Ascends once, then repeats the levels that were played in random order."""

    def __init__(self, run: Run, plan: SweepPlan) -> None:
        self._cases: Sequence[CaseSpec] = run.cases
        self._plan = plan
        self._seed = run.plan.seed
        self._conditions = parse(run.plan.slo) if run.plan.slo else []
        self._ascent: list[FirstRepeat] = []

    def __iter__(self) -> Iterator[tuple[CaseSpec, int]]:
        played: list[CaseSpec] = []
        first = 0
        if not self._plan.every_level:
            first = 1
            for case in self._cases:
                yield case, 0
                played.append(case)
                if reason_to_stop(self._plan.by, self._ascent, self._conditions):
                    break
        played = played or list(self._cases)
        for repeat in range(first, max((case.repeats for case in played), default=0)):
            for case in Random(self._seed * 1000 + repeat).sample(played, len(played)):
                yield case, repeat

    def ended(self, case: CaseSpec, repeat: int, observe: Callable[[], Observed]) -> None:
        """Keep the figures of the ascent."""
        if repeat or self._plan.every_level:
            return
        level = next(one.level for one in self._plan.levels if one.case == case.name)
        found = observe().case
        self._ascent.append(FirstRepeat(level, 0.0, None, 1.0) if found is None else seen(level, found))

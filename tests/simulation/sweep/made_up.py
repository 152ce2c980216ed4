"""Made-up cases of a sweep, for tests of its judgement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from harness.measure.judge.slo import check, parse
from harness.measure.judge.sweep.judgement import judge
from harness.measure.repeat_figures import Points, RepeatFigures
from harness.measure.result import Case, Counts, Distribution, InFlight, Load, Named, Quantile, Rates, Target, Verdict
from harness.measure.sweep_result import PlannedLevel, SweepPlan, SweepResult

VALID = Verdict("valid", [])


def case(level: float, rates: Sequence[float], p99: Quantile = Quantile(), failed: int = 0) -> Case:  # noqa: B008 - frozen
    """A level of a closed sweep with the rate of each repeat."""
    mean = sum(rates) / len(rates)
    ok = 1000 if mean else 0
    middle_s = level / mean if mean else 1.0
    spread = Distribution(ok, middle_s, p50=Quantile(middle_s), p95=Quantile(2 * middle_s), p99=p99)
    repeats = [
        RepeatFigures(number, ok + failed, ok, 10.0, rate, rate, service_time_s=Points(p50=middle_s))
        for number, rate in enumerate(rates)
    ]
    return Case(
        name=f"concurrency={level:g}",
        strategy=Named("queue-stream", {"concurrency": level}),
        load=Load("backlog", {}, ok + failed, None),
        task="similarity",
        target=Target("http://127.0.0.1:1"),
        repeats=len(rates),
        by_repeat=repeats,
        counts=Counts(scheduled=ok + failed, sent=ok + failed, ok=ok, rejected=failed),
        makespan_s=10.0,
        rates_per_s=Rates(completed=mean, goodput=mean),
        service_time_s=spread,
        in_flight=InFlight(level, int(level)),
    )


def curve(rates: Mapping[float, float], spread: float = 0.01) -> list[Case]:
    """A case for each level, with three repeats around its rate."""
    return [case(level, [rate * (1 - spread), rate, rate * (1 + spread)]) for level, rate in rates.items()]


def judged(
    cases: Sequence[Case],
    slo: str | None = None,
    verdict: Verdict = VALID,
    more: Sequence[float] = (),
    every_level: bool = True,
) -> SweepResult:
    """The judgement of these cases; `more` are levels that were not played."""
    levels = [(float(one.name.split("=")[1]), one.name) for one in cases]
    levels += [(level, f"concurrency={level:g}") for level in more]
    plan = SweepPlan("concurrency", [PlannedLevel(level, name) for level, name in levels], every_level)
    conditions = parse(slo) if slo else []
    checked = [msgspec.structs.replace(one, slo=check(conditions, one)) for one in cases]
    return judge(plan, checked, verdict, conditions, slo, seed=1)

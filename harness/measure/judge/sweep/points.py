"""The points of a sweep, one for each level, from its cases. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from harness.measure.judge.slo import Condition, describe, quantile_of
from harness.measure.judge.sweep.stopping import errors_allowed
from harness.measure.result import Case, Quantile, Verdict
from harness.measure.sweep_result import Estimate, SweepPlan, SweepPoint

LEAVES_OUT = ("client_ceiling", "client_starved", "lag")
"""Reasons that concern the client at one level: the level is not judged."""
FINDINGS = ("no_data", "errors", "unfinished")
"""Reasons that are findings about the server in a sweep, and no fault of the measurement."""
KEPT_UP_SHARE = 0.95


def points(
    plan: SweepPlan, cases: Sequence[Case], judged: Verdict, conditions: Sequence[Condition]
) -> list[SweepPoint]:
    """A point for each level that was played, ascending."""
    named = {case.name: case for case in cases}
    left_out = {one.case: one.code for one in judged.reasons if one.code in LEAVES_OUT}
    # Half of a single repeat says nothing about a level.
    cut = {one.case for one in judged.reasons if one.code == "interrupted"}
    left_out |= {case.name: "interrupted" for case in cases if case.name in cut and case.repeats < 2}
    played = [(one.level, named[one.case]) for one in plan.levels if one.case in named]
    calm_s = next((case.latency_s.max for _, case in played if case.latency_s.max), 0.0)
    found = [
        _point(plan, level, case, left_out.get(case.name), _kept_up(case, calm_s or 0.0), conditions)
        for level, case in played
    ]
    most = errors_allowed(next((one.errors for one in found if one.left_out is None), None) or 0.0)
    return [msgspec.structs.replace(one, failing=(one.errors or 0.0) > most) for one in found]


def _point(
    plan: SweepPlan, level: float, case: Case, left_out: str | None, kept_up: bool, conditions: Sequence[Condition]
) -> SweepPoint:
    counts, rates = case.counts, case.rates_per_s
    behind = plan.by == "rate" and not kept_up
    spread = case.service_time_s if plan.by == "concurrency" else case.latency_s
    return SweepPoint(
        level=level,
        case=case.name,
        repeats=case.repeats,
        completed_per_s=Estimate(rates.completed or 0.0, rates.completed_low, rates.completed_high),
        goodput_per_s=Estimate(rates.goodput or 0.0, rates.goodput_low, rates.goodput_high),
        p50_s=_estimate(spread.p50),
        p95_s=_estimate(spread.p95),
        p99_s=_estimate(spread.p99),
        errors=1 - counts.ok / counts.scheduled if counts.scheduled else None,
        in_flight=case.in_flight.mean,
        little_residual=little_residual(case),
        kept_up=kept_up if plan.by == "rate" else None,
        slo=slo_state(case, conditions, behind) if conditions else None,
        slo_words=[describe(checked) for checked in case.slo if not checked.passed],
        left_out=left_out,
    )


def slo_state(case: Case, conditions: Sequence[Condition], behind: bool) -> Literal["holds", "unclear", "fails"]:
    """Whether a level holds the SLO, by the ends of the intervals where there are any."""
    if behind or not case.counts.ok:
        return "fails"
    states = {_state(condition, checked.value, case) for condition, checked in zip(conditions, case.slo, strict=True)}
    return "fails" if "fails" in states else "unclear" if "unclear" in states else "holds"


def _state(condition: Condition, value: float | None, case: Case) -> str:
    """A percentile of too few requests is unclear, as is one whose interval holds the limit."""
    quantile = quantile_of(condition.metric, case)
    if quantile is not None:
        ends = [end for end in (quantile.value, quantile.low, quantile.high) if end is not None]
        held = {condition.holds(end) for end in ends}
        return "unclear" if len(held) != 1 else "holds" if held == {True} else "fails"
    return "holds" if condition.holds(value) else "fails"


def _estimate(found: Quantile) -> Estimate:
    return Estimate(found.value, found.low, found.high)


def little_residual(case: Case) -> float | None:
    """Little's law on successes: the share of the calls in flight that their rate and service time do not explain.

    Negative where failures, retries or hedges hold calls; zero if every call is a success at the first attempt.
    """
    rate, mean_s, flight = case.rates_per_s.completed, case.service_time_s.mean, case.in_flight.mean
    return rate * mean_s / flight - 1 if rate and mean_s and flight else None


def _kept_up(case: Case, calm_s: float) -> bool:
    """Whether the arrivals were answered in their own time: no queue was left at the end.

    `calm_s` is the longest latency at the lowest level, which the last answer may need in any case.
    """
    counts, span_s, makespan_s = case.counts, case.load.duration_s, case.makespan_s
    if not counts.scheduled or not span_s or makespan_s is None:
        return False
    unanswered = counts.not_sent + counts.timed_out + counts.cancelled + counts.unfinished
    answered = counts.scheduled - unanswered
    return answered >= KEPT_UP_SHARE * counts.scheduled and makespan_s <= span_s / KEPT_UP_SHARE + calm_s

"""The figures of a case from the records of its repeats. Pure.

Rules of this file
  1. Latency and its four parts (lag, queue wait, retry time, service time) are of successes; failures are in `counts`.
     Service and retry time exclude successes that were never sent (cache hits).
  2. Rates are over the makespan and, except for `sent`, of successes. Repeats are pooled: counts add up, makespan is
     their mean, and intervals come from their spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.measure.judge.slo import RequestBounds
from harness.measure.record.plan import CaseFacts, Measured, Plan, PlanCase, at_once, transport_name
from harness.measure.reduce.columns import Repeat, exchanges
from harness.measure.reduce.counting import Evidence, counts, expected, is_partial
from harness.measure.reduce.drift import drifts
from harness.measure.reduce.failures import failure_counts, failure_samples
from harness.measure.reduce.instants import with_instants
from harness.measure.reduce.latencies import by_repeat, distributions
from harness.measure.reduce.layer_figures import figures
from harness.measure.reduce.losses import losses
from harness.measure.reduce.prompts import figures_of
from harness.measure.reduce.prompts import warnings as prompt_warnings
from harness.measure.reduce.rates import rates
from harness.measure.reduce.resources import resources
from harness.measure.reduce.sessions import sessions
from harness.measure.reduce.statistics import LEAST_N, WIDENED, interval
from harness.measure.reduce.timeline import buckets, in_flight
from harness.measure.reduce.token_figures import token_figures
from harness.measure.reduce.warmup import warmup_of
from harness.measure.result import SCHEMA_VERSION, Bucket, Case, Counts, InFlight, Load, Resources


def case_of(
    plan: PlanCase,
    repeats: list[Repeat],
    facts: list[CaseFacts | None],
    proof: Evidence,
    bounds: RequestBounds,
    measured: Measured,
) -> Case:
    """The case, without its judgements."""
    number = counts(plan, repeats, facts)
    filled = [repeat for repeat in repeats if len(repeat.rows)]
    makespans = [repeat.makespan_ns / 1e9 for repeat in filled]
    factor = WIDENED if plan.repeats_auto else 1.0
    warmup = warmup_of(plan, filled)
    begins_ns = 0 if warmup is None else round(warmup.removed_s * 1e9)
    counted = [repeat.after(begins_ns) for repeat in filled]
    goals = [expected(repeat, plan, fact).scheduled for repeat, fact in zip(repeats, facts, strict=False)]
    alone = [by_repeat(repeat, goal, bounds, begins_ns) for repeat, goal in zip(repeats, goals, strict=True)]
    arrivals = None if plan.scheduled is None else sum(one.scheduled for one in alone) / max(len(alone), 1)
    prompts = figures_of(plan.prompts, (end.tokens for repeat in repeats for end in repeat.ends))
    return Case(
        **identity(plan, measured),
        trace=with_instants(plan.trace, filled),
        repeats=len(repeats),
        by_repeat=alone,
        counts=number,
        warmup=warmup,
        **_makespan(makespans, factor),
        rates_per_s=rates(arrivals, plan.span_s, number.sent, alone, factor),
        in_flight=_in_flight(filled, begins_ns),
        resources=_resources(plan, filled, number, sum(makespans), measured),
        timeline=_timeline(filled),
        warnings=_warnings(number, proof, repeats) + (prompt_warnings(prompts) if number.ok else []),
        prompts=prompts,
        partial=is_partial(proof),
        lost=losses(plan, repeats, facts),
        failures=failure_counts(filled),
        failure_samples=failure_samples(filled),
        layer_figures=figures(part for repeat in repeats for process in repeat.processes for part in process.layers),
        tokens=token_figures(counted, alone, factor),
        sessions=sessions(plan, filled, counted),
        **distributions(counted, plan.is_backlog, factor),
        **drifts(plan, counted),
    )


def _makespan(makespans: list[float], factor: float) -> dict[str, Any]:
    """The mean over repeats, with its interval."""
    mean_s = sum(makespans) / len(makespans) if makespans else None
    low_s, high_s = interval(mean_s, makespans, factor)
    return {"makespan_s": mean_s, "makespan_low_s": low_s, "makespan_high_s": high_s}


def identity(plan: PlanCase, measured: Measured) -> dict[str, Any]:
    """The description of a case, in the words of a result."""
    duration_s = plan.duration_s if plan.is_timed else None
    return {
        "name": plan.name,
        "strategy": plan.strategy,
        "load": Load(plan.load.name, plan.load.settings, plan.items, duration_s),
        "task": plan.task,
        "target": measured.target,
        "scenario": plan.scenario,
        "layers": plan.layers.as_report(),
        "transport": transport_name(plan.transport),
    }


def run_identity(plan: Plan) -> dict[str, Any]:
    """The description of a run, in the words of a result."""
    schedules = {case.schedule_sha256 for case in plan.cases}
    return {
        "schema_version": SCHEMA_VERSION,
        "id": plan.id,
        "started_at": plan.started_at,
        "tool": plan.tool,
        "environment": plan.environment,
        "seed": plan.seed,
        "schedule_sha256": schedules.pop() if len(schedules) == 1 else None,
        "simulated": plan.simulated,
    }


def _in_flight(repeats: list[Repeat], begins_ns: int) -> InFlight:
    """From `begins_ns` on."""
    found = [_in_flight_of(repeat, begins_ns) for repeat in repeats]
    means = [one.mean for one in found if one.mean is not None]
    peaks = [one.max for one in found if one.max is not None]
    return InFlight(sum(means) / len(means), max(peaks)) if means else InFlight()


def _in_flight_of(repeat: Repeat, begins_ns: int) -> InFlight:
    starts, ends = exchanges(repeat)
    if begins_ns > 0:
        later = ends > begins_ns
        starts, ends = np.maximum(starts[later], begins_ns), ends[later]
    return in_flight(starts, ends, repeat.makespan_ns - begins_ns)


def _timeline(repeats: list[Repeat]) -> list[Bucket]:
    """The timeline of the repeat with the median makespan. An average of repeats would be no observed run."""
    ordered = sorted(repeats, key=lambda repeat: repeat.makespan_ns)
    return buckets(ordered[(len(ordered) - 1) // 2]) if ordered else []


def _resources(
    plan: PlanCase, repeats: list[Repeat], number: Counts, makespans_s: float, measured: Measured
) -> Resources:
    """Unknown in a simulation: virtual time has no CPU."""
    if plan.transport == "simulated":
        return Resources()
    return resources(repeats, number, makespans_s, ceiling_of(plan, measured))


def ceiling_of(plan: PlanCase, measured: Measured) -> float | None:
    """The calibrated ceiling of all processes of a case; those without a core of their own add nothing."""
    ceiling = measured.ceilings.get(plan.name, measured.ceilings.get(plan.transport))
    if ceiling is None or not math.isfinite(ceiling) or ceiling <= 0:
        return None
    return ceiling * at_once(plan.processes, measured.cores, measured.target.server is not None)


def _warnings(number: Counts, proof: Evidence, repeats: Sequence[Repeat]) -> list[str]:
    found = []
    if 0 < number.ok < LEAST_N["p99"]:
        found.append(f"p99 not reported: needs {LEAST_N['p99']} successful requests, got {number.ok}")
    if number.ok and number.ok < number.scheduled:
        found.append(f"latencies are of the {number.ok} successes of {number.scheduled} items")
    if number.bad_lines:
        first = next((end.first_bad_line for repeat in repeats for end in repeat.ends if end.first_bad_line), None)
        lines = "1 malformed input line" if number.bad_lines == 1 else f"{number.bad_lines} malformed input lines"
        found.append(f"skipped {lines}" + (f"; the first: {first}" if first else ""))
    if cut := sum(end.histories_cut for repeat in repeats for end in repeat.ends):
        found.append(f"the history of {cut} turns was longer than --history, so its oldest exchanges were not sent")
    if oddities := sum(end.oddities for repeat in repeats for end in repeat.ends):
        found.append(f"answers had {oddities} harmless deviations from the API; they were ignored")
    if (every := max((repeat.tokens.every for repeat in repeats), default=1)) > 1:
        found.append(f"gaps between tokens are those of one in {every} streams: all of them would need too much memory")
    if any((repeat.rows["chunks"] > 1).any() and not len(repeat.tokens.counts) for repeat in repeats):
        found.append("an earlier version of paceline recorded these streams, without tokens and gaps between tokens")
    if proof.exit_codes:
        found.append("the client process ended with exit code " + ", ".join(map(str, proof.exit_codes)))
    return found

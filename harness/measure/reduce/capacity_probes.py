"""The probes of a capacity search from its records, offline and while it runs.

Rules of this file
  1. A probe is a case of the run, a trial is a repeat of it. Everything is computed from plan and records, so
     `paceline report` gives the same answer as the search.
  2. A trial whose own verdict is invalid or partial is left out. Failures and unanswered requests are findings, not
     faults of the measurement. A probe of which no trial is left is invalid.
  3. The SLO sets the tolerance for the client's own part of the times: 5 % of its shortest time, or --lag-tolerance. A
     trial of a client that was starved or late by more is left out, whether it would pass or fail.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from harness.measure.capacity_result import By, CapacityPlan, CapacityResult, Probe
from harness.measure.judge.capacity.answers import capacity_result
from harness.measure.judge.capacity.probes import judge, shortest_bound_s
from harness.measure.judge.client_time import LAG_MIN_S, LAG_SHARE_MAX
from harness.measure.judge.codes import CODES
from harness.measure.record.plan import Measured, Plan, PlanCase
from harness.measure.reduce.summary import Observed, observe
from harness.measure.reduce.trial_samples import TrialSample, samples

FINDINGS = {"errors", "no_data", "unfinished", "layer_fault"}
"""Codes of a verdict that tell of the server."""
PARTIAL = {"interrupted", "partial"}
SPOILED = {"client_time"}
"""Codes that leave another result valid. Here they say that the client's own time is above the tolerance of the SLO."""
CONFIRMATION_PARTS = 6
"""Parts of the confirmation run that stand for trials."""
INVALID_MAX = 3
"""Invalid trials after which a probe is given up."""


def name_of(by: By, load: float, confirmation: bool = False) -> str:
    """The name of a probe's case: `rate 80/s`, `concurrency 16`."""
    name = f"rate {load:g}/s" if by == "rate" else f"concurrency {load:.0f}"
    return f"{name}, long run" if confirmation else name


def probe_of(case: PlanCase) -> Probe:
    """The probe that a case is, without evidence."""
    by: By = "concurrency" if case.is_backlog else "rate"
    arrivals = case.load.settings
    # A trace has a mean rate, and a speed that gives it.
    rate = "rate_per_s" if "rate_per_s" in arrivals else "mean_rate_per_s"
    load = float(case.strategy.settings["concurrency"] if case.is_backlog else arrivals[rate])
    return Probe(case.name, by, load, confirmation=case.name == name_of(by, load, confirmation=True))


def fault_of(observed: Observed, plan: CapacityPlan) -> str:
    """Why a trial cannot be used; empty if it can."""
    case = observed.case
    if case is None:
        return "nothing was recorded"
    if case.counts.ok == 0 and case.counts.connection_error == case.counts.scheduled:
        return "the server could not be reached"
    if is_short(observed, plan):
        return "the backlog ended within the warm-up"
    # Waits of the client do not change a share of errors.
    spoiled = set() if math.isinf(shortest_bound_s(plan.tiers)) else SPOILED
    for reason in observed.verdict.reasons:
        if reason.code in PARTIAL | spoiled or (CODES[reason.code][0] == "invalid" and reason.code not in FINDINGS):
            return reason.text
    return ""


def is_short(observed: Observed, plan: CapacityPlan) -> bool:
    """Whether a backlog was done before it could be measured: the server is faster than expected.

    One that failed as a whole shows enough: a server that refuses is quick, however long the backlog is.
    """
    case = observed.case
    if case is None or case.load.kind != "backlog" or not case.counts.ok:
        return False
    return (case.makespan_s or 0.0) < 1.5 * plan.warmup_s


def tolerated_s(given_s: float | None, plan: CapacityPlan) -> float | None:
    """The lag, and the client's own time, that do not change whether a probe passes.

    None, so that the latency measured sets it, if the SLO has no time.
    """
    shortest_s = shortest_bound_s(plan.tiers)
    if given_s is not None or math.isinf(shortest_s):
        return given_s
    return max(LAG_MIN_S, LAG_SHARE_MAX * shortest_s)


def trial_samples(plan: CapacityPlan, case: PlanCase, directory: Path, repeat: int) -> list[TrialSample]:
    """The samples of one trial: one, or the parts of a confirmation run."""
    parts = CONFIRMATION_PARTS if probe_of(case).confirmation else 1
    return samples(case, directory, repeat, plan.warmup_s, parts)


def judged(
    plan: CapacityPlan, case: PlanCase, trials: Sequence[list[TrialSample]], faults: Sequence[str], seconds: float
) -> Probe:
    """The probe of a case from its valid trials and the faults of the others."""
    from msgspec.structs import replace

    fault = faults[-1] if faults else ""
    reason = "" if trials else fault
    probe = replace(probe_of(case), trials_invalid=len(faults), seconds=seconds, fault=fault, reason=reason)
    return judge(probe, plan.tiers, [sample for trial in trials for sample in trial])


def capacity_of(plan: Plan, asked: CapacityPlan, directory: Path, measured: Measured) -> CapacityResult:
    """The whole result of a capacity search."""
    probes = []
    for case in plan.cases:
        trials, faults, seconds = list[list[TrialSample]](), list[str](), 0.0
        for repeat in range(case.repeats):
            observed = observe(case, directory, measured, [], repeat, tolerated_s(plan.lag_tolerance_s, asked))
            if observed.case is None:
                # The run was killed before this trial.
                continue
            seconds += observed.case.makespan_s or 0.0
            fault = fault_of(observed, asked)
            if fault:
                faults.append(fault)
            else:
                trials.append(trial_samples(asked, case, directory, repeat))
        if trials or faults:
            probes.append(judged(asked, case, trials, faults, seconds))
    return capacity_result(asked, probes)

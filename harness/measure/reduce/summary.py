"""Computes result.json from the record files, offline and repeatably.

Missing or incomplete files make a case partial. Damaged files make the run invalid and are listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from harness.client.errors import UsageError
from harness.measure.capacity_result import CapacityPlan
from harness.measure.judge.client_time import tolerance_s
from harness.measure.judge.comparison import controlled, ranked
from harness.measure.judge.diagnosis import diagnose
from harness.measure.judge.headline import findings, headline
from harness.measure.judge.precision import outcome as precision_outcome
from harness.measure.judge.precision import reasons as precision_reasons
from harness.measure.judge.roughness import rough_warning
from harness.measure.judge.slo import Condition, backlog_warning, bounds_s, check, parse, sets_errors
from harness.measure.judge.steadiness import warmup_warning
from harness.measure.judge.verdict import verdict
from harness.measure.judge.withheld import without_findings_of_invalid
from harness.measure.record.files import RecordPaths, find, find_case, unreadable
from harness.measure.record.plan import CaseFacts, Measured, Plan, PlanCase, read_facts, read_measured, read_plan
from harness.measure.record.sealed_json import DamagedError
from harness.measure.reduce.bursts import bursts
from harness.measure.reduce.case_figures import case_of, ceiling_of, run_identity
from harness.measure.reduce.column_rows import FULL
from harness.measure.reduce.columns import load_repeats
from harness.measure.reduce.counting import Evidence, evidence
from harness.measure.reduce.limit_changes import limit_log
from harness.measure.result import Case, Reason, RunResult, Verdict
from harness.measure.sweep_result import SweepPlan


def summarize_run(directory: Path) -> RunResult:
    """The result of a run directory, even of a killed run.

    Raises UsageError if it has no plan, or if there is no room for the columns of a long run.
    """
    try:
        return _summarized(directory)
    except OSError as error:
        if error.errno not in FULL:
            raise
        text = f"{error.filename or directory}: {error.strerror}. The records stay as they are: free some space and run"
        raise UsageError(f"{text} `paceline report {directory}`") from error


def _summarized(directory: Path) -> RunResult:
    plan, measured = read_plan(directory), read_measured(directory)
    conditions = parse(plan.slo) if plan.slo else []
    found = [measure_case(case, directory, measured, conditions) for case in plan.cases]
    present = [pair for pair in found if pair is not None]
    not_run = [case.name for case, pair in zip(plan.cases, found, strict=True) if pair is None]
    cases = diagnose([case for case, _ in present])
    tolerated_s = tolerance_s(plan.lag_tolerance_s, conditions)
    insecure = plan.connection is not None and plan.connection.insecure
    proofs = [proof for _, proof in present]
    judged = verdict(cases, proofs, not_run, sets_errors(conditions), tolerated_s, insecure)
    precision = None if plan.precision is None else precision_outcome(plan.precision, cases)
    judged = msgspec.structs.replace(judged, reasons=[*judged.reasons, *precision_reasons(precision)])
    cases = without_findings_of_invalid(cases, judged)
    # The control repeats a case: it is no strategy to recommend.
    compared = [case for case in cases if case.name != plan.control]
    result = RunResult(
        **{**run_identity(plan), "environment": _environment(plan, directory)},
        verdict=judged,
        headline=headline(compared, judged),
        cases=cases,
        findings=findings(compared, judged),
        precision=precision,
        control=controlled(cases, plan.reference, plan.control),
        comparisons=ranked(compared, plan.reference) if plan.kind == "compare" else [],
    )
    if plan.sweep is not None:
        return _with_sweep(result, plan, plan.sweep, conditions)
    return result if plan.capacity is None else _with_capacity(result, plan, plan.capacity, directory, measured)


def _with_sweep(result: RunResult, plan: Plan, swept: SweepPlan, conditions: Sequence[Condition]) -> RunResult:
    """The result of a sweep: the SLO stands at its points, because a level above the knee is meant to fail it."""
    from harness.measure.judge.sweep import wording
    from harness.measure.judge.sweep.judgement import judge
    from harness.measure.judge.sweep.verdict import sweep_verdict

    found = judge(swept, result.cases, result.verdict, conditions, plan.slo, plan.seed)
    found = msgspec.structs.replace(found, predicted=swept.predicted)
    judged = sweep_verdict(found, result.verdict)
    cases = [msgspec.structs.replace(case, slo=[]) for case in result.cases]
    said: dict[str, Any] = {"headline": wording.headline(found, judged), "findings": wording.findings(found)}
    return msgspec.structs.replace(result, cases=cases, sweep=found, verdict=judged, **said)


def _with_capacity(
    result: RunResult, plan: Plan, asked: CapacityPlan, directory: Path, measured: Measured
) -> RunResult:
    """The result of a capacity search: its probes are no cases to compare, and their failures are findings."""
    from harness.measure.judge.capacity.verdict import capacity_findings, capacity_headline, capacity_verdict
    from harness.measure.reduce.capacity_probes import capacity_of

    found = capacity_of(plan, asked, directory, measured)
    judged = capacity_verdict(found, result.verdict)
    said = {"headline": capacity_headline(found, judged), "findings": capacity_findings(found)}
    return msgspec.structs.replace(result, capacity=found, verdict=judged, **said)


def with_write_error(result: RunResult, error: str) -> RunResult:
    """The result with an invalid verdict, because a file of the run could not be written."""
    text = f"Records are incomplete: could not write {error}. Free some space and run it again."
    judged = Verdict("invalid", [Reason("write_error", text), *result.verdict.reasons])
    cases = without_findings_of_invalid(result.cases, judged)
    said: dict[str, Any] = {"headline": headline(cases, judged), "findings": findings(cases, judged)}
    return msgspec.structs.replace(result, cases=cases, verdict=judged, **said)


class Observed(NamedTuple):
    """One repeat of a case, and the verdict on it. `case` is None if nothing was recorded."""

    case: Case | None
    verdict: Verdict


def observe(
    plan: PlanCase,
    directory: Path,
    measured: Measured,
    conditions: Sequence[Condition],
    repeat: int,
    lag_tolerance_s: float | None = None,
) -> Observed:
    """The figures of one repeat of a case, while the run is going on."""
    recorded = find_case(directory, plan.name, repeat)
    found = _measure(msgspec.structs.replace(plan, repeats=1), directory, recorded, [repeat], measured, conditions)
    if found is None:
        return Observed(None, verdict([], []))
    case, proof = found
    tolerated_s = tolerance_s(lag_tolerance_s, conditions)
    return Observed(diagnose([case])[0], verdict([case], [proof], (), sets_errors(conditions), tolerated_s))


def measure_case(
    plan: PlanCase, directory: Path, measured: Measured, conditions: Sequence[Condition]
) -> tuple[Case, Evidence] | None:
    """A case and its evidence; None if it was not started."""
    recorded = find_case(directory, plan.name)
    return _measure(plan, directory, recorded, range(plan.repeats), measured, conditions)


def _measure(
    plan: PlanCase,
    directory: Path,
    recorded: dict[int, list[RecordPaths]],
    planned: Iterable[int],
    measured: Measured,
    conditions: Sequence[Condition],
) -> tuple[Case, Evidence] | None:
    repeats = load_repeats(recorded)
    numbers = sorted({*recorded, *planned})
    torn, damaged = unreadable(directory, plan.name)
    known = {number: _facts(directory, plan.name, number, damaged) for number in numbers}
    if not repeats and not any(known.values()) and not damaged:
        return None
    facts = [known[number] for number in recorded] or list(known.values())
    proof = evidence(plan, repeats, facts, damaged, len(torn))
    waits_s = bursts(repeats, ceiling_of(plan, measured))
    proof = msgspec.structs.replace(proof, machine=measured.machine, cores=measured.cores, burst_waits_s=waits_s)
    case = case_of(plan, repeats, facts, proof, bounds_s(conditions), measured)
    warnings = [*case.warnings, *filter(None, [warmup_warning(case), rough_warning(case)])]
    case = msgspec.structs.replace(case, limit=limit_log(list(recorded.values())), warnings=warnings)
    return _with_slo(case, conditions), proof


def _facts(directory: Path, case: str, repeat: int, damaged: list[str]) -> CaseFacts | None:
    try:
        return read_facts(directory, case, repeat)
    except DamagedError as error:
        damaged.append(str(error))
        return None


def _with_slo(case: Case, conditions: Sequence[Condition]) -> Case:
    """The case with its checks, and a warning about conditions that mean little for its load."""
    if not conditions:
        return case
    warning = backlog_warning(conditions, case)
    warnings = [*case.warnings, warning] if warning else case.warnings
    return msgspec.structs.replace(case, slo=check(conditions, case), warnings=warnings)


def _environment(plan: Plan, directory: Path) -> dict[str, Any]:
    extra: dict[str, Any] = {"command": plan.command} if plan.command else {}
    if plan.notes:
        extra["notes"] = plan.notes
    if digests := _digests(plan, directory):
        extra["records_sha256"] = digests
    return plan.environment | extra


def _digests(plan: Plan, directory: Path) -> dict[str, str]:
    """The digest of the records of each repeat that ended."""
    recorded = find(directory)
    trials = [(case.name, repeat) for case in plan.cases for repeat in recorded.get(case.name, {})]
    facts = {f"{name}/{repeat}": _facts(directory, name, repeat, []) for name, repeat in trials}
    return {trial: of.records_sha256 for trial, of in facts.items() if of is not None and of.records_sha256}

"""The gate: a candidate against its SLO and against a baseline. Pure.

Rules of this file
  1. A failure must repeat itself: the same check has to fail again in pairs that were played after it was found.
  2. The noise floor is the change that the baseline shows against itself (A/A, neighbouring repeats). It is reported
     beside the limit: where it is larger, most answers will be inconclusive.
  3. An invalid measurement decides nothing. Failures of the candidate do not make it invalid where they are judged:
     they are the finding.
  4. A gate that was stopped is inconclusive, whatever its checks say so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from harness.measure.gate_result import GATE_VERSION, Gate, GateCheck, GateStatus
from harness.measure.judge.codes import CODES
from harness.measure.judge.compared_figures import Figure
from harness.measure.judge.comparison import noise_floor
from harness.measure.judge.comparison_words import effect, interval, label
from harness.measure.judge.conditions import FinishedRun, changed, common
from harness.measure.judge.gate_checks import LIMIT, basis, confirmed, figures_for, regressions, slo_checks, values_of
from harness.measure.result import Case, Reason, RunResult

EXIT_CODES: dict[GateStatus, int] = {"passed": 0, "failed": 1, "invalid": 4, "inconclusive": 5}
Cases = Sequence[tuple[Case, Case]]


def judge(
    baseline: FinishedRun,
    candidate: FinishedRun,
    figures: Sequence[Figure] = (),
    limit: float = LIMIT,
    paired: bool = True,
    confirmed_from: int | None = None,
) -> Gate:
    """The state of a gate after the repeats that were played so far.

    Args:
        baseline: The run that the candidate is held against.
        candidate: The run in question.
        figures: Figures to judge; empty for those that fit the load.
        limit: Changes for the worse up to this share do not count.
        paired: Whether repeats with one number were played next to each other.
        confirmed_from: Number of the first repeat that was played to confirm a failure; None if none was found yet.
    """
    cases = common(baseline.result, candidate.result)
    checks = [*slo_checks(candidate.result), *regressions(cases, figures, limit, paired)]
    if confirmed_from is not None:
        checks = confirmed(checks, cases, figures, limit, paired, confirmed_from)
    pairs, confirmation = _played(cases, confirmed_from)
    found = Gate(
        schema_version=GATE_VERSION,
        status="inconclusive",
        text="",
        checks=checks,
        baseline=baseline.result.id,
        candidate=candidate.result.id,
        paired=paired,
        pairs=pairs,
        confirmation=confirmation,
        limit=limit,
        noise_floor=_floor(cases, figures) if paired else None,
        started_at=candidate.result.started_at,
        # Two servers always have two URLs.
        changed=[one for one in changed(baseline, candidate) if one.name != "server.url"],
    )
    return concluded(_with_faults(found, baseline.result, candidate.result, bool(cases)))


def _played(cases: Cases, confirmed_from: int | None) -> tuple[int, int]:
    """The number of repeats until a failure was found, and of those that were to confirm it."""
    numbers = {repeat.repeat for _, case in cases for repeat in case.by_repeat}
    confirmation = len([n for n in numbers if confirmed_from is not None and n >= confirmed_from])
    return len(numbers) - confirmation, confirmation


def concluded(gate: Gate) -> Gate:
    """The gate with the status and the text that follow from its checks."""
    status = _status(gate)
    return msgspec.structs.replace(gate, status=status, text=_text(status, gate))


def _floor(cases: Cases, figures: Sequence[Figure]) -> float | None:
    """The largest change that neighbouring repeats of the baseline show in one of the figures."""
    floors = [
        noise_floor([second / first for first, second in pairwise(values_of(figure, one.by_repeat)) if first > 0])
        for one, _ in cases
        for figure in figures or figures_for(one)
        if figure.scale == "ratio"
    ]
    return max((floor for floor in floors if floor is not None), default=None)


def _with_faults(gate: Gate, baseline: RunResult, candidate: RunResult, compared: bool) -> Gate:
    """The gate with what makes its measurement invalid, and why it is not whole."""
    judged = any(one.figure and one.figure.figure == "errors" and one.status == "failed" for one in gate.checks)
    stopped = any(reason.code == "interrupted" for run in (baseline, candidate) for reason in run.verdict.reasons)
    reasons: list[str] = []
    notes: list[str] = []
    for which, run, failures_judged in (("baseline", baseline, False), ("candidate", candidate, judged)):
        for severity, text in _reasons(run, failures_judged):
            (reasons if severity == "invalid" else notes).append(f"{which}: {text}")
    if not compared and not stopped:
        reasons.insert(0, "The two runs have no case in common, so nothing was compared.")
    return msgspec.structs.replace(gate, reasons=reasons, notes=notes, stopped=stopped)


def _reasons(run: RunResult, failures_judged: bool) -> list[tuple[str, str]]:
    """Severity and text of each reason against a run, without those that only inform."""
    status = run.verdict.status
    if status != "valid" and not run.verdict.reasons:
        return [(status, f"The measurement is {status}.")]
    found = [(CODES[one.code][0] if one.code in CODES else status, one) for one in run.verdict.reasons]
    kept = [(severity, one) for severity, one in found if not (failures_judged and one.code == "errors")]
    return [(severity, _said(one)) for severity, one in kept if severity != "valid"]


def _said(reason: Reason) -> str:
    return f"{reason.case}: {reason.text}" if reason.case else reason.text


def _status(gate: Gate) -> GateStatus:
    if gate.reasons or not (gate.checks or gate.stopped):
        return "invalid"
    if gate.stopped:
        return "inconclusive"
    found = {check.status for check in gate.checks}
    if "failed" in found:
        return "failed"
    return "passed" if found == {"passed"} and not gate.notes else "inconclusive"


def _text(status: GateStatus, gate: Gate) -> str:
    checks = gate.checks
    if status == "invalid":
        return f"The measurement is invalid: {gate.reasons[0] if gate.reasons else 'there is nothing to check.'}"
    if status == "passed":
        return "The one check passed." if len(checks) == 1 else f"All {len(checks)} checks passed."
    wanted = [check for check in checks if check.status == status]
    if gate.stopped or not wanted:
        return f"The measurement is not whole: {gate.notes[0]}"
    said = [
        f"{case}: {', '.join(_short(check) for check in wanted if check.case == case)}"
        for case in dict.fromkeys(check.case for check in wanted)
    ]
    verb = "failed" if status == "failed" else "inconclusive"
    return f"{len(wanted)} of {len(checks)} checks {verb}. {'; '.join(said)}"


def _short(check: GateCheck) -> str:
    """The check without its details, which its own text has."""
    figure = check.figure
    if check.kind != "regression" or figure is None or figure.effect is None:
        return check.text
    short = f"{label(figure)} {effect(figure)} {interval(figure)}".rstrip()
    remark = figure.decision == "not enough repeats" or figure.missing
    return short + (f" ({', '.join(basis(figure, True))})" if remark else "")

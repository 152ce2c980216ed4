"""The gate: a candidate against its SLO and against a baseline. Pure.

Rules of this file
  1. A check passes if its whole interval is on the harmless side of the limit, and fails if the exact test, corrected
     for all figures, finds a change beyond the limit. All else is inconclusive.
  2. A failure must repeat itself: the same check has to fail again in pairs that were played after it was found.
  3. The noise floor is the change that the baseline shows against itself (A/A, neighbouring repeats). It is reported
     beside the limit: where it is larger, most answers will be inconclusive.
  4. A missing figure, an empty comparison or a case without a success never passes.
  5. A gate that was stopped is inconclusive, whatever its checks say so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from harness.base import units
from harness.measure.comparison_result import FigureComparison
from harness.measure.gate_result import GATE_VERSION, CheckStatus, Gate, GateCheck, GateStatus
from harness.measure.judge.compared_figures import BACKLOG, FIGURES, Figure
from harness.measure.judge.comparison import decide, measure, noise_floor, within_limit
from harness.measure.judge.comparison_words import effect, interval, label
from harness.measure.judge.conditions import Finished, changed, common
from harness.measure.judge.slo import describe, parse, value_of
from harness.measure.repeat_figures import RepeatFigures
from harness.measure.result import Case, Quantile, Reason, RunResult

EXIT_CODES: dict[GateStatus, int] = {"passed": 0, "failed": 1, "invalid": 4, "inconclusive": 5}
LIMIT = 0.02
"""A change for the worse by up to 2 % does not count, unless the user sets another limit."""
ERRORS_LIMIT = 0.005
"""A rise of the share of failures by up to half a point does not count."""
_FIGURES_OF = {True: ("completed", "service_p50", "errors"), False: ("p50", "p95", "errors")}
"""Backlog or arrivals -> figures that are judged, few on purpose."""


def figures_for(case: Case) -> list[Figure]:
    """The figures that a gate judges if the user names none."""
    return [FIGURES[name] for name in _FIGURES_OF[case.load.kind == BACKLOG]]


def judge(
    baseline: Finished,
    candidate: Finished,
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
    floors = [floor for one, _ in cases if paired and (floor := _floor(one, figures or figures_for(one))) is not None]
    floor = max(floors, default=None)
    checks = [
        *_slo_checks(candidate.result),
        *_regressions(cases, figures, limit, paired),
    ]
    if confirmed_from is not None:
        again = [(_from(one, confirmed_from), _from(other, confirmed_from)) for one, other in cases]
        checks = _confirmed(checks, _regressions(again, figures, limit, paired))
    found = _faults(baseline.result, candidate.result)
    reasons = [text for text, _ in found] + (
        [] if cases else ["The two runs have no case in common, so nothing was compared."]
    )
    stopped = bool(found) and {code for _, code in found} == {"interrupted"}
    status = "inconclusive" if stopped else _status(checks, reasons)
    numbers = {repeat.repeat for _, case in cases for repeat in case.by_repeat}
    confirmation = len([n for n in numbers if confirmed_from is not None and n >= confirmed_from])
    return Gate(
        schema_version=GATE_VERSION,
        status=status,
        text=_text(status, checks, reasons),
        checks=checks,
        baseline=baseline.result.id,
        candidate=candidate.result.id,
        paired=paired,
        pairs=len(numbers) - confirmation,
        confirmation=confirmation,
        limit=limit,
        noise_floor=floor,
        reasons=reasons,
        # Two servers always have two URLs.
        changed=[one for one in changed(baseline, candidate) if not one.name.endswith("server.url")],
    )


def _floor(baseline: Case, figures: Sequence[Figure]) -> float | None:
    """The largest change that neighbouring repeats of the baseline show in one of the figures."""
    floors = [
        noise_floor([second / first for first, second in pairwise(_values(figure, baseline.by_repeat)) if first > 0])
        for figure in figures
        if figure.scale == "ratio"
    ]
    return max((floor for floor in floors if floor is not None), default=None)


def _values(figure: Figure, repeats: Sequence[RepeatFigures]) -> list[float]:
    return [value for repeat in repeats if (value := figure.of(repeat)) is not None]


def _regressions(
    cases: Sequence[tuple[Case, Case]], figures: Sequence[Figure], limit: float, paired: bool
) -> list[GateCheck]:
    """A check for each figure of each case, corrected together."""
    measured = [
        (other.name, measure(figure, one.by_repeat, other.by_repeat, paired, _limit(figure, limit)))
        for one, other in cases
        for figure in figures or figures_for(one)
    ]
    decided = decide([figure for _, figure in measured], paired)
    return [_regression(case, figure) for (case, _), figure in zip(measured, decided, strict=True)]


def _limit(figure: Figure, limit: float) -> float:
    return ERRORS_LIMIT if figure.name == "errors" else limit


def _regression(case: str, figure: FigureComparison) -> GateCheck:
    status: CheckStatus = "inconclusive"
    if figure.decision == "worse":
        status = "failed"
    elif figure.effect is not None and within_limit(figure):
        status = "passed"
    name = f"{label(figure)} against the baseline"
    return GateCheck(name, "regression", case, status, _regression_text(figure), figure)


def _regression_text(figure: FigureComparison) -> str:
    if figure.effect is None:
        return f"{label(figure)}: no figure in both runs"
    sign = "+" if figure.better == "lower" else "-"
    few = f"; {figure.needed} are needed" if figure.decision == "not enough repeats" else ""
    found = f"{label(figure)} {effect(figure)} {interval(figure)}"
    return f"{found}, limit {sign}{units.share(figure.limit)} (n {figure.n}{few})"


def _slo_checks(candidate: RunResult) -> list[GateCheck]:
    return [
        GateCheck(checked.condition, "slo", case.name, _slo_status(checked.condition, case), describe(checked))
        for case in candidate.cases
        for checked in case.slo
    ]


def _slo_status(condition: str, case: Case) -> CheckStatus:
    """By the interval of a percentile where there is one, else by the value."""
    (parsed,) = parse(condition)
    value = value_of(parsed.metric, case)
    found = _quantile(parsed.metric, case)
    if value is None:
        return "failed"
    ends = [value] if found is None else [end for end in (found.low, value, found.high) if end is not None]
    held = {parsed.holds(end) for end in ends}
    return "inconclusive" if len(held) > 1 else "passed" if held == {True} else "failed"


def _quantile(metric: str, case: Case) -> Quantile | None:
    families = {"": case.latency_s, "service": case.service_time_s, "queue_wait": case.queue_wait_s}
    family, _, statistic = metric.rpartition("_")
    found = getattr(families.get(family), statistic.replace(".", "_"), None)
    return found if isinstance(found, Quantile) else None


def _from(case: Case, first: int) -> Case:
    """The case with its repeats from this number on."""
    later = [repeat for repeat in case.by_repeat if repeat.repeat >= first]
    return msgspec.structs.replace(case, by_repeat=later)


def _confirmed(checks: Sequence[GateCheck], again: Sequence[GateCheck]) -> list[GateCheck]:
    """The checks, where a failure that did not repeat itself is inconclusive."""
    failed_again = {(check.case, check.name) for check in again if check.status == "failed"}

    def settled(check: GateCheck) -> GateCheck:
        if check.kind == "slo" or check.status != "failed":
            return check
        if (check.case, check.name) in failed_again:
            return msgspec.structs.replace(check, text=f"{check.text}; confirmed by further pairs")
        return msgspec.structs.replace(
            check, status="inconclusive", text=f"{check.text}; not confirmed by further pairs"
        )

    return [settled(check) for check in checks]


def _faults(baseline: RunResult, candidate: RunResult) -> list[tuple[str, str]]:
    """The reasons against the two measurements as texts, each with its code."""
    return [
        (f"{which}: {_said(reason)}", reason.code)
        for which, run in (("baseline", baseline), ("candidate", candidate))
        if run.verdict.status != "valid"
        for reason in run.verdict.reasons
    ]


def _said(reason: Reason) -> str:
    return f"{reason.case}: {reason.text}" if reason.case else reason.text


def _status(checks: Sequence[GateCheck], reasons: Sequence[str]) -> GateStatus:
    if reasons:
        return "invalid"
    found = {check.status for check in checks}
    return "failed" if "failed" in found else "passed" if found == {"passed"} else "inconclusive"


def _text(status: GateStatus, checks: Sequence[GateCheck], reasons: Sequence[str]) -> str:
    if reasons:
        return f"The measurement is {status}: {reasons[0]}"
    if status == "passed":
        return f"All {len(checks)} checks passed."
    wanted = [f"{check.case}: {check.text}" for check in checks if check.status == status]
    verb = "failed" if status == "failed" else "are inconclusive"
    return f"{len(wanted)} of {len(checks)} checks {verb}: {'; '.join(wanted)}"

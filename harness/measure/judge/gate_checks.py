"""The checks of a gate: each condition of the SLO, and each figure against the baseline. Pure.

Rules of this file
  1. Both answers are exact one-sided tests at 5 %, so the 90 % interval shows them: a check passes if the whole of it
     is on the harmless side of the limit, and is suspect if the whole of it is beyond. All else is inconclusive.
  2. A suspect check fails if it repeats itself: the pairs that were played after it was suspected show a change beyond
     the limit, too, and all pairs together find it at 1 %. So a false alarm comes in less than 1 % of gates for each
     figure. There is no further correction for their number, which would hide real changes.
  3. A missing figure fails: a server that answers nothing must not pass as "nothing found".
  4. A condition of the SLO has failed again if the median of the confirming repeats breaks it, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import msgspec

from harness.base import units
from harness.measure.comparison_result import FigureComparison
from harness.measure.gate_result import CheckStatus, GateCheck
from harness.measure.judge.compared_figures import BACKLOG, FIGURES, Figure
from harness.measure.judge.comparison import beyond_limit, decide, measure, repeats_to_decide, within_limit
from harness.measure.judge.comparison_words import effect, interval, label, value
from harness.measure.judge.rank_tests import LEVEL
from harness.measure.judge.slo import describe, parse, value_of
from harness.measure.repeat_figures import RepeatFigures
from harness.measure.result import Case, Quantile, RunResult

LIMIT = 0.02
"""A change for the worse by up to 2 % does not count, unless the user sets another limit."""
ERRORS_LIMIT = 0.005
"""A rise of the share of failures by up to half a point does not count."""
LEVEL_TOGETHER = 0.01
"""Of the one-sided test on all pairs, those that confirm included."""
_FIGURES_OF = {True: ("completed", "service_p50", "errors"), False: ("p50", "p95", "errors")}
"""Backlog or arrivals -> figures that are judged, few on purpose."""
PAIRS_SENSIBLE = 500
CONFIRMED, NOT_CONFIRMED = "confirmed by further pairs", "not confirmed by further pairs"


def figures_for(case: Case) -> list[Figure]:
    """The figures that a gate judges if the user names none."""
    return [FIGURES[name] for name in _FIGURES_OF[case.load.kind == BACKLOG]]


def regressions(
    cases: Sequence[tuple[Case, Case]], figures: Sequence[Figure], limit: float, paired: bool
) -> list[GateCheck]:
    """A check for each figure of each case."""
    return [
        _regression(
            other.name,
            measure(figure, one.by_repeat, other.by_repeat, paired, _limit(figure, limit), 2 * LEVEL),
            paired,
        )
        for one, other in cases
        for figure in figures or figures_for(one)
    ]


def _limit(figure: Figure, limit: float) -> float:
    return ERRORS_LIMIT if figure.name == "errors" else limit


def _regression(case: str, measured: FigureComparison, paired: bool) -> GateCheck:
    (figure,) = decide([measured], paired, 2 * LEVEL)
    status: CheckStatus = "inconclusive"
    if figure.decision == "worse" or figure.effect is None:
        status = "failed"
    elif within_limit(figure) and not figure.missing:
        status = "passed"
    text = _regression_text(figure, paired)
    check = GateCheck(f"{label(figure)} against the baseline", "regression", case, status, text, figure=figure)
    crosses = status == "inconclusive" and within_limit(figure) is False
    return _remarked(check, _advice(figure, paired)) if crosses else check


def _advice(figure: FigureComparison, paired: bool) -> str:
    """What would decide a figure whose interval reaches over the limit."""
    needed = repeats_to_decide(figure, 2 * LEVEL)
    if needed is None or needed > PAIRS_SENSIBLE:
        return "the change is about as large as the limit"
    return f"the interval reaches over the limit; about {max(needed, figure.n + 1)} {_unit(paired)} would decide"


def _remarked(check: GateCheck, remark: str) -> GateCheck:
    return msgspec.structs.replace(check, text=f"{check.text}; {remark}", remark=remark)


def _regression_text(figure: FigureComparison, paired: bool) -> str:
    if figure.effect is None:
        return f"{label(figure)}: no repeat has this figure on both sides (too few successes?)"
    found = f"{label(figure)} {value(figure)}, baseline {value(figure, of_reference=True)}"
    parts = [f"{found}: {f'{effect(figure)} {interval(figure)}'.rstrip()}, limit {limit_words(figure)}"]
    return "; ".join([*parts, *basis(figure, paired)])


def basis(figure: FigureComparison, paired: bool) -> list[str]:
    """The number of repeats, and those that are missing."""
    found = [f"{figure.n} {_unit(paired)}"]
    if figure.decision == "not enough repeats":
        found[0] += f", {figure.needed} are needed"
    return found + ([f"missing in {figure.missing} repeats"] if figure.missing else [])


def _unit(paired: bool) -> str:
    return "pairs" if paired else "repeats"


def limit_words(figure: FigureComparison) -> str:
    """The change for the worse that does not count: +2 %, -2 %, +0.5 points."""
    sign = "+" if figure.better == "lower" else "-"
    points = f"{units.significant(100 * figure.limit)} points"
    return sign + (units.share(figure.limit) if figure.scale == "ratio" else points)


def slo_checks(candidate: RunResult) -> list[GateCheck]:
    """A check for each condition of each case."""
    return [
        GateCheck(checked.condition, "slo", case.name, _slo_status(checked.condition, case), describe(checked))
        for case in candidate.cases
        for checked in case.slo
    ]


def _slo_status(condition: str, case: Case) -> CheckStatus:
    """By the interval of a percentile where there is one, else by the value."""
    (parsed,) = parse(condition)
    figure = value_of(parsed.metric, case)
    found = _quantile(parsed.metric, case)
    if figure is None:
        return "failed"
    ends = [figure] if found is None else [end for end in (found.low, figure, found.high) if end is not None]
    held = {parsed.holds(end) for end in ends}
    return "inconclusive" if len(held) > 1 else "passed" if held == {True} else "failed"


def _quantile(metric: str, case: Case) -> Quantile | None:
    families = {"": case.latency_s, "service": case.service_time_s, "queue_wait": case.queue_wait_s}
    family, _, statistic = metric.rpartition("_")
    found = getattr(families.get(family), statistic.replace(".", "_"), None)
    return found if isinstance(found, Quantile) else None


def confirmed(
    checks: Sequence[GateCheck],
    cases: Sequence[tuple[Case, Case]],
    figures: Sequence[Figure],
    limit: float,
    paired: bool,
    first: int,
) -> list[GateCheck]:
    """The checks, where a failure that the repeats from `first` on do not show again is inconclusive."""
    later = [(_part(one, first, None) if paired else one, _part(other, first, None)) for one, other in cases]
    earlier = [(_part(one, 0, first) if paired else one, _part(other, 0, first)) for one, other in cases]
    parts = [regressions(part, figures, limit, paired) for part in (earlier, later, cases)]
    again = {
        (first.case, first.name): _repeated(first, then, whole, paired)
        for first, then, whole in zip(*parts, strict=True)
    }
    again |= {(check.case, check.name): failed for check in checks if (failed := _slo_again(check, later)) is not None}
    return [_settled(check, again.get((check.case, check.name))) for check in checks]


def _repeated(first: GateCheck, later: GateCheck, whole: GateCheck, paired: bool) -> bool:
    """Whether a change was suspected first, seen again later, and found in all pairs together."""
    figures = [one.figure for one in (first, later, whole) if one.figure is not None and one.figure.effect is not None]
    if len(figures) < 3 or first.status != "failed" or not beyond_limit(figures[1]):
        return False
    (together,) = decide([figures[2]], paired, 2 * LEVEL_TOGETHER)
    return together.decision == "worse"


def _part(case: Case, first: int, end: int | None) -> Case:
    """The case with its repeats from `first` to before `end`."""
    part = [repeat for repeat in case.by_repeat if repeat.repeat >= first and (end is None or repeat.repeat < end)]
    return msgspec.structs.replace(case, by_repeat=part)


def _slo_again(check: GateCheck, later: Sequence[tuple[Case, Case]]) -> bool | None:
    """Whether a condition of the SLO failed in the later repeats; None if no single repeat has its figure."""
    if check.kind != "slo":
        return None
    (condition,) = parse(check.name)
    figure = FIGURES.get({"rate": "completed"}.get(condition.metric, condition.metric))
    case = next((candidate for _, candidate in later if candidate.name == check.case), None)
    if figure is None or case is None:
        return None
    values = values_of(figure, case.by_repeat)
    return bool(values) and not condition.holds(median(values))


def values_of(figure: Figure, repeats: Sequence[RepeatFigures]) -> list[float]:
    """The figure of each repeat that has it."""
    return [value for repeat in repeats if (value := figure.of(repeat)) is not None]


def _settled(check: GateCheck, failed_again: bool | None) -> GateCheck:
    """A check with what both tests say on it; missing figures need no confirmation."""
    missing = check.figure is not None and check.figure.effect is None
    if failed_again is None or missing or check.status != "failed":
        return check
    if failed_again:
        return _remarked(check, CONFIRMED)
    return _remarked(msgspec.structs.replace(check, status="inconclusive"), NOT_CONFIRMED)

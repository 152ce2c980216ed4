"""Which cases of one run are worse than the best one beyond noise. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from harness.base import units
from harness.measure.comparison_result import FigureComparison
from harness.measure.judge.compared_figures import FIGURES
from harness.measure.judge.comparison import decide, measure
from harness.measure.result import Case


def found_worse(best: Case, others: Sequence[Case], figure: str) -> list[str] | None:
    """The names of the cases that are worse in this figure; None if there are too few repeats to say."""
    found = decisions(best, others, figure)
    return None if found is None else [name for name, decision in found.items() if decision == "worse"]


def decisions(best: Case, others: Sequence[Case], figure: str) -> dict[str, str] | None:
    """The decision on each other case: better or worse than `best`, or no difference; None with too few repeats."""
    judged = _judged(best, others, figure)
    if any(one.decision == "not enough repeats" for one in judged):
        return None
    return {other.name: one.decision for other, one in zip(others, judged, strict=True)}


def no_difference(cases: Sequence[Case], figure: str) -> str:
    """That no difference was found, with the effect that would have been seen; without a test, that they were alike."""
    names = units.listing([case.name for case in cases])
    judged = _judged(cases[0], cases[1:], figure)
    if not judged or any(one.decision == "not enough repeats" or one.detectable is None for one in judged):
        return f"{names} performed alike"
    size = max(one.detectable or 0.0 for one in judged)
    words = f"{FIGURES[figure].label}: an effect of {units.significant(100 * size, 2)} % would have been seen"
    return f"no difference found between {names}{f' ({words})' if size else ''}"


def figure_of_tail(name: str, backlog: bool) -> str:
    """The figure of single repeats that belongs to a percentile of a case."""
    return f"service_{name}" if backlog else name


def _judged(best: Case, others: Sequence[Case], figure: str) -> list[FigureComparison]:
    measured = [measure(FIGURES[figure], best.by_repeat, other.by_repeat) for other in others]
    return decide(measured, paired=True)

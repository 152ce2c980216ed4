"""Two finished runs: what changed, by how much, and whether that is more than noise. Pure.

Rules of this file
  1. Two runs were made at different times, so their repeats are no pairs, and drift between the runs is not excluded.
     Only simulated runs with one seed have pairs: no machine took part, and each repeat met the same chance.
  2. All figures of all cases are one family for Holm's correction: "something is worse" is one claim.
  3. Where the measurement of a run is invalid, nothing is concluded from it.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.base import units
from harness.measure.comparison_result import Comparison, FigureComparison
from harness.measure.diff_result import DIFF_VERSION, Diff, DiffStatus
from harness.measure.judge.compared_figures import Figure, chosen
from harness.measure.judge.comparison import decide, measure
from harness.measure.judge.comparison_words import label
from harness.measure.judge.conditions import FinishedRun, changed, common, obstacles
from harness.measure.result import Case

EXIT_CODES: dict[DiffStatus, int] = {"no worse": 0, "worse": 1, "invalid": 4, "not enough repeats": 5}
DRIFT = (
    "The runs were made at different times: a change of the machine between them can look like this too. "
    "`paceline gate` plays both in alternation."
)


def diff(before: FinishedRun, after: FinishedRun, figures: Sequence[Figure] | None = None, limit: float = 0.0) -> Diff:
    """Compare two runs, even if obstacles speak against it: the caller decides on them."""
    first, second = before.result, after.result
    paired = first.simulated and second.simulated and first.seed == second.seed
    comparisons = _compared(common(first, second), figures, paired, limit)
    status = _status(before, after, comparisons)
    names = {case.name for case, _ in common(first, second)}
    return Diff(
        schema_version=DIFF_VERSION,
        before=first.id,
        after=second.id,
        status=status,
        text=_text(status, before, after, comparisons, paired),
        paired=paired,
        limit=limit,
        obstacles=obstacles(before, after),
        changed=changed(before, after),
        only_before=[case.name for case in first.cases if case.name not in names],
        only_after=[case.name for case in second.cases if case.name not in names],
        comparisons=comparisons,
    )


def _compared(
    cases: Sequence[tuple[Case, Case]], figures: Sequence[Figure] | None, paired: bool, limit: float
) -> list[Comparison]:
    measured = [
        [measure(figure, one.by_repeat, other.by_repeat, paired, limit) for figure in figures or chosen([one, other])]
        for one, other in cases
    ]
    judged = iter(decide([figure for of_case in measured for figure in of_case], paired))
    return [
        Comparison(other.name, one.name, paired, [next(judged) for _ in of_case])
        for (one, other), of_case in zip(cases, measured, strict=True)
    ]


def _status(before: FinishedRun, after: FinishedRun, comparisons: Sequence[Comparison]) -> DiffStatus:
    if any(run.result.verdict.status == "invalid" for run in (before, after)):
        return "invalid"
    found = {figure.decision for comparison in comparisons for figure in comparison.figures}
    if "worse" in found:
        return "worse"
    unsure = any(run.result.verdict.status == "inconclusive" for run in (before, after))
    return "not enough repeats" if unsure or not found or "not enough repeats" in found else "no worse"


def _text(
    status: DiffStatus, before: FinishedRun, after: FinishedRun, comparisons: Sequence[Comparison], paired: bool
) -> str:
    if status == "invalid":
        names = [run.result.id for run in (before, after) if run.result.verdict.status == "invalid"]
        return f"The measurement of {units.listing(names)} is invalid, so nothing follows from the difference."
    worse, better = (_named(comparisons, decision) for decision in ("worse", "better"))
    said = [f"{word}: {'; '.join(names)}." for word, names in (("Worse", worse), ("Better", better)) if names]
    if few := [f for one in comparisons for f in one.figures if f.decision == "not enough repeats"]:
        said.append(_few(few, paired))
    elif not said:
        said.append(f"No difference found.{_seen(comparisons)}")
    if status == "not enough repeats" and not few:
        names = [run.result.id for run in (before, after) if run.result.verdict.status == "inconclusive"]
        said.append(f"The measurement of {units.listing(names)} is inconclusive." if names else "No figure to compare.")
    if (worse or better) and not paired:
        said.append(DRIFT)
    return " ".join(said)


def _seen(comparisons: Sequence[Comparison]) -> str:
    """The effect that would have been seen in each figure that has a ratio."""
    figures = [figure for one in comparisons for figure in one.figures if figure.scale == "ratio"]
    sizes = [figure.detectable for figure in figures if figure.detectable]
    of = f"{units.significant(100 * max(sizes), 2)} %" if sizes else ""
    return f" An effect of {of} would have been seen in each figure." if sizes else ""


def _named(comparisons: Sequence[Comparison], decision: str) -> list[str]:
    """The case with those of its figures that were decided so."""
    found = []
    for comparison in comparisons:
        labels = [label(figure) for figure in comparison.figures if figure.decision == decision]
        if labels:
            found.append(f"{comparison.case} ({', '.join(labels)})")
    return found


def _few(figures: Sequence[FigureComparison], paired: bool) -> str:
    least = min(min(figure.n, figure.n_reference) for figure in figures)
    needed = max(figure.needed for figure in figures)
    of = "pairs of repeats" if paired else "repeats in each run"
    return (
        f"Not enough repeats to tell a difference from noise: {least} {of}, {needed} are needed for so many figures. "
        f"Make both runs with --repeats {needed}, or judge fewer figures with --figure."
    )

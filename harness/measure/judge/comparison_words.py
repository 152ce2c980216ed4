"""Comparisons as text, for terminal and reports."""

from __future__ import annotations

from collections.abc import Sequence

from harness.base import units
from harness.measure.comparison_result import Comparison, Control, FigureComparison
from harness.measure.judge.compared_figures import FIGURES

HEADS = ("strategy", "figure", "reference", "value", "effect", "95 % interval", "finding")


FOUND = ("better", "worse")
NEAR = 0.06
NOISE = ", but within the noise of the control"


def label(figure: FigureComparison) -> str:
    """The figure's name for people."""
    return label_of(figure.figure)


def label_of(name: str) -> str:
    """The name of a figure for people."""
    known = FIGURES.get(name)
    return known.label if known else name


def effect(figure: FigureComparison) -> str:
    """x1.08 for a ratio, +2 points for a difference of shares."""
    return units.NONE if figure.effect is None else _number(figure.effect, figure, signed=True)


def interval(figure: FigureComparison) -> str:
    """[1.021, 1.130]; empty without one."""
    if figure.low is None or figure.high is None:
        return ""
    # Both ends have the same number of decimals.
    fine = _near_one(figure.low) or _near_one(figure.high)
    return f"[{_number(figure.low, figure, fine=fine)}, {_number(figure.high, figure, fine=fine)}]"


def value(figure: FigureComparison, of_reference: bool = False) -> str:
    """The median over the repeats, with its unit."""
    number = figure.reference if of_reference else figure.value
    if figure.scale == "difference":
        return units.share(number)
    return units.rate(number) if figure.better == "higher" else units.seconds(number)


def finding(figure: FigureComparison) -> str:
    """Better, worse, no difference found (with the effect that would have been found), or the number of repeats."""
    if figure.decision == "not enough repeats":
        return f"not enough repeats to say ({_number_of(figure)}; {figure.needed} are needed)"
    if figure.decision != "no difference found":
        return figure.decision
    if figure.detectable == 0:
        return "no difference found (the values are equal)"
    return f"no difference found ({_detectable(figure)} would have been seen)"


def sentence(figure: FigureComparison) -> str:
    """throughput x1.08 [1.021, 1.130] better; p99 no difference found (an effect of 6 % would have been seen)."""
    if figure.decision in ("better", "worse"):
        return f"{label(figure)} {effect(figure)} {interval(figure)} {figure.decision}"
    return f"{label(figure)} {finding(figure)}"


def against(comparison: Comparison) -> str:
    """The findings on one case in one line. Figures with the same finding are named together."""
    labels: dict[str, list[str]] = {}
    for figure in comparison.figures:
        labels.setdefault(sentence(figure).removeprefix(label(figure)), []).append(label(figure))
    said = [f"{units.listing(names)}{words}" for words, names in labels.items()]
    return f"{comparison.case} against {comparison.reference}: {'; '.join(said) or 'no figure to compare'}"


def noise(control: Control) -> list[str]:
    """The result of the control: the noise of each figure, and a warning if two equal cases were found to differ."""
    floors = {label_of(name): floor for name, floor in control.floors.items()}
    said = units.listing([f"{units.significant(100 * floor, 2)} % of {name}" for name, floor in floors.items()])
    played = f"Control ({control.reference}, played twice)"
    if not any(floors.values()):
        return [f"{played}: no noise, both were equal"] if floors else [f"{played}: no figure in both"]
    found = [f"{played}: differences under {said} are noise here"]
    differing = [label(figure) for figure in control.comparison.figures if figure.decision in ("better", "worse")]
    if differing:
        found.append(
            f"The two equal cases differ in {units.listing(differing)}: one in 20 controls does by chance; if it does "
            "so again, something favours one of two equal cases, and no small difference can be trusted"
        )
    return found


def within_noise(figure: FigureComparison, control: Control | None) -> bool:
    """Whether the effect is no larger than what equal cases show."""
    floor = control.floors.get(figure.figure) if control is not None else None
    if floor is None or figure.effect is None or figure.effect <= 0:
        return False
    return max(figure.effect, 1 / figure.effect) <= 1 + floor


def rows(comparisons: Sequence[Comparison], control: Control | None = None) -> list[list[str]]:
    """A row of cells for each figure of each case; a difference within the noise of the control says so."""
    return [
        [
            comparison.case,
            label(figure),
            value(figure, of_reference=True),
            value(figure),
            effect(figure),
            interval(figure) or units.NONE,
            finding(figure) + (NOISE if figure.decision in FOUND and within_noise(figure, control) else ""),
        ]
        for comparison in comparisons
        for figure in comparison.figures
    ]


def _near_one(number: float) -> bool:
    """Whether a ratio is so near to 1 that a limit of a few per cent needs three decimals."""
    return abs(number - 1) < NEAR


def _number(number: float, figure: FigureComparison, signed: bool = False, fine: bool = False) -> str:
    if figure.scale == "difference":
        points = f"{100 * number:+.3g}" if number else "0"
        return f"{points} points" if signed else points
    shown = f"{number:.3g}" if number < 0.1 else f"{number:.{3 if fine or _near_one(number) else 2}f}"
    return f"x{shown}" if signed else shown


def _detectable(figure: FigureComparison) -> str:
    if figure.scale == "difference":
        return f"a difference of {units.significant(100 * (figure.detectable or 0.0), 2)} points"
    return f"an effect of {units.significant(100 * (figure.detectable or 0.0), 2)} %"


def _number_of(figure: FigureComparison) -> str:
    if figure.n == figure.n_reference:
        return str(figure.n)
    return f"{figure.n_reference} against {figure.n}"

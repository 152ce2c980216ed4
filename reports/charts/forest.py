"""The comparisons of a run: a row for each figure of each case against the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.measure.result import RunResult
from reports import labels
from reports.drawing import forest
from reports.drawing.theme import Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Effects against the reference"
HOW = forest.HOW
ORDER = 12
NAMES: dict[forest.Kind, str] = {"good": "better", "bad": "worse", "unclear": "no difference found, or too few repeats"}


def applies(result: RunResult) -> bool:
    """Whether there is a figure with an interval."""
    return any(row.figure.low is not None for row in forest.rows_of(result.comparisons))


def figure(result: RunResult, theme: Theme) -> Figure:
    """The chart, with the noise floor of an A/A control if the run has one."""
    reference = labels.printable(result.comparisons[0].reference)
    return forest.forest(theme, f"{TITLE} {reference}", forest.rows_of(result.comparisons, result.control), NAMES)


def in_words(result: RunResult) -> str:
    """The effects with their intervals."""
    return forest.words(forest.rows_of(result.comparisons))

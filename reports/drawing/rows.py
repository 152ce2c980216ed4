"""Layout of one row per case: positions of rows and group headings, and labels on the left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.measure.result import Case, RunResult
from reports import labels
from reports.drawing.sheet import EDGE, LINE, SMALL, TEXT, Sheet, text_width, wrapped

LABEL_MAX = 2.2
HEADING = 0.30


@dataclass(frozen=True, slots=True)
class Row:
    """One case on a chart; `y` is the middle of its row in inches below the top of the axes."""

    case: Case
    lines: tuple[str, ...]
    y: float


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows, group headings if a chart has both backlog and arrivals, and the space that they need."""

    rows: tuple[Row, ...]
    headings: tuple[tuple[float, str], ...]
    label_width: float
    height: float

    @property
    def left(self) -> float:
        """The left edge of the axes."""
        return EDGE + self.label_width + 0.12

    def write(self, sheet: Sheet) -> None:
        """Put labels and headings on the sheet."""
        for row in self.rows:
            top = sheet.top + row.y - LINE * (len(row.lines) - 1) / 2
            for number, line in enumerate(row.lines):
                sheet.text(EDGE + self.label_width, top + LINE * number, line, ha="right")
        for y, words in self.headings:
            # The background hides the axis line behind the text.
            backed = {"facecolor": sheet.theme.surface, "edgecolor": "none", "pad": 1.5}
            sheet.text(EDGE, sheet.top + y, words, size=SMALL, weight="bold", color=sheet.theme.muted, bbox=backed)


def rows_of(cases: Sequence[Case], pitch: float) -> Rows:
    """Lay out the cases by group, in the given order, `pitch` inches a row."""
    names = labels.case_labels(cases)
    lines = [tuple(wrapped(name, LABEL_MAX)) for name in names]
    groups = labels.grouped(cases)
    y, rows, headings = 0.0, [], []
    for group, places in groups.items():
        if len(groups) > 1:
            headings.append((y + HEADING / 2, labels.GROUP_WORDS[group]))
            y += HEADING
        for at in places:
            rows.append(Row(cases[at], lines[at], y + pitch / 2))
            y += pitch
    width = max((text_width(line, TEXT) for label in lines for line in label), default=0.5)
    return Rows(tuple(rows), tuple(headings), width, y)


def note(result: RunResult, words: str) -> str:
    """A subtitle, with a warning if groups are mixed."""
    return f"{words} {labels.NOT_COMPARABLE}" if labels.is_mixed(result.cases) else words


def bare(axes: Any, height: float) -> None:
    """Row axes: y counts inches downwards, no spine or tick on the left."""
    axes.set_ylim(height, 0)
    axes.set_yticks([])
    axes.spines["bottom"].set_visible(False)

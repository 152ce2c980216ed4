"""A forest chart: a row for each figure with its ratio and interval, 1 and the limit marked.

Rules of this file
  1. The worse side of a row begins at its limit and is shaded: to the right where lower is better, else to the left.
  2. Differences of shares have an axis of their own, in points.
  3. An interval without an end on one side reaches to the edge and ends in an arrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.base import units
from harness.measure.comparison_result import Comparison, Control, FigureComparison
from harness.measure.judge.comparison_words import effect, interval, label
from reports import labels
from reports.drawing.rows import bare
from reports.drawing.scale import Scale
from reports.drawing.sheet import EDGE, SMALL, TEXT, TITLE, WIDTH, Sheet, fitted, text_width
from reports.drawing.theme import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HOW = (
    "A row per figure: a point at the ratio, a bar over its 95 % interval, a line at 1 (no change). The shaded side is "
    "worse, from the limit on if there is one (dashed)."
)
HOW_GATE = HOW.replace("95 %", "90 %")
"""Of a gate, whose tests are one-sided."""
FLOOR = " Differences within the grey band are noise here."
PITCH, HEADING, AXIS, GAP = 0.27, 0.27, 0.42, 0.2
LABEL_MAX = 2.2
LEAST_SPAN = 0.03
"""The axis reaches at least this far on both sides of 1."""
Kind = Literal["good", "bad", "unclear"]
MARKS: dict[Kind, str] = {"good": "o", "bad": "X", "unclear": "s"}


@dataclass(frozen=True)
class Row:
    """One figure of one group, and how it was judged."""

    group: str
    figure: FigureComparison
    kind: Kind
    floor: float | None = None  # the change that equal versions show, as a share


def rows_of(comparisons: Sequence[Comparison], control: Control | None = None) -> list[Row]:
    """The figures of comparisons that have an effect, each with the noise that a control showed."""
    floors = control.floors if control is not None else {}
    kinds: dict[str, Kind] = {"better": "good", "worse": "bad"}
    return [
        Row(comparison.case, figure, kinds.get(figure.decision, "unclear"), floors.get(figure.figure))
        for comparison in comparisons
        for figure in comparison.figures
        if figure.effect is not None
    ]


def words(rows: Sequence[Row]) -> str:
    """The rows as text."""
    said = [f"{row.group}: {label(row.figure)} {effect(row.figure)} {interval(row.figure)}".rstrip() for row in rows]
    return labels.printable("; ".join(said)) + ("." if said else "")


def how(rows: Sequence[Row], words: str = HOW) -> str:
    """How to read it."""
    return words + (FLOOR if any(row.floor for row in rows) else "")


def forest(theme: Theme, title: str, rows: Sequence[Row], names: dict[Kind, str], words: str = HOW) -> Figure:
    """Ratios in one panel, differences of shares in a second one. `names` are the words of the key."""
    panels = [part for scale in ("ratio", "difference") if (part := [row for row in rows if row.figure.scale == scale])]
    named = f"{title}: {labels.printable(rows[0].group)}"
    room = WIDTH - 2 * EDGE
    # The title names a single group, if there is space for it.
    grouped = len({row.group for row in rows}) > 1 or text_width(named, TITLE, "bold") > room
    title = fitted(title if grouped else named, room, TITLE, "bold")
    heights = [_height(part, grouped) for part in panels]
    body = sum(heights) + len(panels) * (AXIS + GAP) + 0.15
    sheet = Sheet(theme, title, how(rows, words), body)
    kinds = [kind for kind in MARKS if any(row.kind == kind for row in rows)]
    marks = [(names[kind], {"color": _color(theme, kind), "marker": MARKS[kind], "ls": "", "ms": 6}) for kind in kinds]
    sheet.key(0.06, marks)
    left = EDGE + min(LABEL_MAX, max(text_width(label(row.figure), TEXT) for row in rows)) + 0.12
    right = max(text_width(_said(row), SMALL) for row in rows) + 0.15
    top = 0.3
    for part, height in zip(panels, heights, strict=True):
        axes = sheet.axes(left, top, WIDTH - left - right - EDGE, height)
        _panel(sheet, axes, part, (left, top, height), grouped)
        top += height + AXIS + GAP
    return sheet.figure


def _height(rows: Sequence[Row], grouped: bool) -> float:
    return PITCH * len(rows) + (HEADING * len({row.group for row in rows}) if grouped else 0.0)


def _panel(
    sheet: Sheet,
    axes: Axes,
    rows: Sequence[Row],
    place: tuple[float, float, float],
    grouped: bool,
) -> None:
    """`place` is left edge, top edge and height; a heading for each group if there are several."""
    (left, top, height), theme, ratio = place, sheet.theme, rows[0].figure.scale == "ratio"
    scale = _scale([row.figure for row in rows])
    bare(axes, height)
    axes.spines["left"].set_visible(False)
    scale.apply(axes.xaxis, 7)
    axes.set_xlabel("ratio to the reference" if ratio else "difference, in points", labelpad=3)
    axes.axvline(1.0 if ratio else 0.0, color=theme.ink, lw=1.0)
    y, group = 0.0, None
    for row in rows:
        if grouped and row.group != group:
            group = row.group
            name = fitted(labels.printable(group), WIDTH - 2 * EDGE, SMALL, "bold")
            backed = {"facecolor": theme.surface, "edgecolor": "none", "pad": 1.0}
            sheet.text(EDGE, sheet.top + top + y + HEADING / 2, name, size=SMALL, weight="bold", color=theme.muted,
                       bbox=backed)  # fmt: skip
            y += HEADING
        middle = y + PITCH / 2
        sheet.text(left - 0.12, sheet.top + top + middle, fitted(label(row.figure), LABEL_MAX), ha="right")
        _row(axes, row, middle, scale, theme)
        y += PITCH


def _row(axes: Axes, row: Row, y: float, scale: Scale, theme: Theme) -> None:
    figure, color = row.figure, _color(theme, row.kind)
    bound = limit_of(figure)
    worse = (bound, scale.high) if figure.better == "lower" else (scale.low, bound)
    axes.fill_betweenx([y - PITCH / 2, y + PITCH / 2], *worse, color=theme.vermillion, alpha=0.1, lw=0)
    if row.floor and figure.scale == "ratio":
        noise = (1 / (1 + row.floor), 1 + row.floor)
        axes.fill_betweenx([y - PITCH / 2, y + PITCH / 2], *noise, color=theme.grey, alpha=0.45, lw=0)
    if figure.limit:
        axes.plot([bound] * 2, [y - PITCH / 2, y + PITCH / 2], color=theme.muted, lw=1.0, ls=(0, (3, 2)))
    low, high = _shown(figure, figure.low), _shown(figure, figure.high)
    if low is not None or high is not None:
        axes.plot([scale.low if low is None else low, scale.high if high is None else high], [y, y], color=color, lw=2)
        for end, edge, mark in ((low, scale.low, "<"), (high, scale.high, ">")):
            if end is None:
                axes.plot([edge], [y], marker=mark, ms=6, color=color, clip_on=False)
    middle = _shown(figure, figure.effect)
    assert middle is not None  # noqa: S101 - rows have an effect
    axes.plot([middle], [y], marker=MARKS[row.kind], ms=7, color=color, mec=theme.surface, mew=0.8, ls="")
    axes.annotate(_said(row), (1.0, y), (6, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                  va="center", size=SMALL)  # fmt: skip


def _said(row: Row) -> str:
    return f"{effect(row.figure)} {interval(row.figure)}".rstrip()


def limit_of(figure: FigureComparison) -> float:
    """Where the worse side begins, as it is drawn."""
    sign = 1 if figure.better == "lower" else -1
    return 1 + sign * figure.limit if figure.scale == "ratio" else 100 * sign * figure.limit


def _shown(figure: FigureComparison, value: float | None) -> float | None:
    """A ratio, or a difference in points."""
    return value if value is None or figure.scale == "ratio" else 100 * value


def _scale(figures: Sequence[FigureComparison]) -> Scale:
    """Around no change, over all points, intervals and limits."""
    ratio = figures[0].scale == "ratio"
    ends = [limit_of(figure) for figure in figures]
    drawn = (_shown(one, value) for one in figures for value in (one.low, one.effect, one.high))
    ends += [end for end in drawn if end is not None]
    if not ratio:
        reach = 1.15 * max(0.5, *(abs(end) for end in ends))
        return Scale(-reach, reach, log=False, words=lambda tick: f"{tick:+g}" if tick else "0")
    ends = [end for end in ends if end > 0]
    if max(ends) > 3 * min(ends):
        return Scale(min(0.9, min(ends) / 1.2), max(1.1, max(ends) * 1.2), log=True, words=units.significant)
    low, high = min(1 - LEAST_SPAN, *ends), max(1 + LEAST_SPAN, *ends)
    margin = 0.06 * (high - low)
    return Scale(low - margin, high + margin, log=False, words=lambda tick: f"{tick:.3f}".rstrip("0").rstrip("."))


def _color(theme: Theme, kind: Kind) -> str:
    return {"good": theme.green, "bad": theme.vermillion, "unclear": theme.muted}[kind]

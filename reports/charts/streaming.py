"""Streamed answers: time to first token and time between tokens, p50 to p99 per case."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.base import units
from harness.measure.result import Case, Distribution, RunResult
from reports import labels
from reports.drawing.rows import bare, note, rows_of
from reports.drawing.scale import Scale, scale_for
from reports.drawing.sheet import EDGE, SMALL, WIDTH, Sheet
from reports.drawing.theme import Theme
from reports.wording import per_case, percentiles_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "First token and between tokens"
HOW = "Left: time to first token. Right: time between tokens. A bar spans p50 to p99, with both values."
ORDER = 25

PITCH = 0.46
GAP = 0.3
Spread = Callable[[Case], Distribution | None]


def applies(result: RunResult) -> bool:
    """Whether any case streamed."""
    return any(case.ttft_s is not None and case.ttft_s.n for case in result.cases)


def figure(result: RunResult, theme: Theme) -> Figure:
    """Two panels of spans over shared rows."""
    layout = rows_of(result.cases, PITCH)
    sheet = Sheet(theme, TITLE, note(result, HOW), layout.height + 0.55)
    width = (WIDTH - EDGE - layout.left - GAP) / 2
    panels: list[tuple[str, Spread, str, str]] = [
        ("time to first token", lambda case: case.ttft_s, "blue", "o"),
        ("time between tokens", lambda case: case.itl_s, "green", "D"),
    ]
    for number, (label, spread, role, marker) in enumerate(panels):
        axes = sheet.axes(layout.left + number * (width + GAP), 0, width, layout.height)
        found = [(row.y, spread(row.case)) for row in layout.rows]
        values = [value for _, one in found if one for value in (one.p50.value, one.p99.value)]
        scale = scale_for(values)
        room = Scale(scale.low, scale.high * (1.6 if scale.log else 1.18), scale.log, units.seconds)
        room.apply(axes.xaxis, max(4, int(width / 0.5)))
        bare(axes, layout.height)
        axes.set_xlabel(label + (", log scale" if scale.log else ""), labelpad=4)
        for y, one in found:
            _span(axes, y, one, theme.roles()[role], marker, theme)
    layout.write(sheet)
    return sheet.figure


def _span(axes: Axes, y: float, spread: Distribution | None, colour: str, marker: str, theme: Theme) -> None:
    if spread is None or not spread.n or spread.p50.value is None:
        axes.text(0.02, y, "no data", transform=axes.get_yaxis_transform(), va="center", size=SMALL, color=theme.muted)
        return
    low, high = spread.p50.value, spread.p99.value
    if high is not None:
        axes.plot([low, high], [y + 0.06] * 2, color=colour, lw=5, solid_capstyle="butt", alpha=0.45)
    for value in (low, high):
        if value is None:
            continue
        axes.plot([value], [y + 0.06], marker=marker, ms=6, color=colour, mec=theme.surface, mew=0.8, zorder=4)
    words = f"{units.seconds(low)} … {labels.percentile(spread, 'p99')}"
    # A label that starts in the right half would extend beyond the sheet.
    right = low > 0.5 * axes.get_xlim()[1]
    at, align = (high or low, "right") if right else (low, "left")
    axes.annotate(words, (at, y + 0.06), (0, 7), textcoords="offset points", size=SMALL - 0.5, va="bottom", ha=align)


def in_words(result: RunResult) -> str:
    """Percentiles of both times of each case."""

    def words(case: Case) -> str:
        first, between = case.ttft_s or Distribution(), case.itl_s or Distribution()
        return f"first token {percentiles_words(first)}; between tokens {percentiles_words(between)}"

    return per_case(result, words)

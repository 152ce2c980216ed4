"""Latency by turn: how requests become slower as the history that they carry grows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.base import units
from harness.measure.repeat_figures import Points
from harness.measure.result import Case, RunResult
from harness.measure.session_result import TurnFigures
from reports import labels
from reports.drawing.panels import AXIS
from reports.drawing.scale import Scale, scale_for
from reports.drawing.sheet import EDGE, SMALL, TEXT, WIDTH, Sheet, fitted
from reports.drawing.theme import Theme
from reports.wording import per_case

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Latency by turn"
HOW = (
    "Of the requests with the same place in their conversation: latency from due time, and of streams the time to the "
    "first token. Later turns carry a longer history. A turn with too few successes has no p95."
)
ORDER = 22
GAP = 0.66


def applies(result: RunResult) -> bool:
    """Whether any case has sessions with more than one turn."""
    return any(len(_turns(case)) > 1 for case in result.cases)


def _turns(case: Case) -> list[TurnFigures]:
    return [] if case.sessions is None else case.sessions.by_turn


def figure(result: RunResult, theme: Theme) -> Figure:
    """A panel per case on one scale."""
    cases = [case for case in result.cases if _turns(case)]
    columns, height = (1, 2.1) if len(cases) == 1 else (2, 1.4)
    sheet = Sheet(theme, TITLE, HOW, math.ceil(len(cases) / columns) * (height + GAP) + 0.5)
    sheet.key(0.06, _key(cases, theme))
    width = (WIDTH - EDGE) / columns - AXIS - 0.1
    found = [value for case in cases for one in _turns(case) for points in _points(one) for value in points]
    scale, last = scale_for(found, units.seconds, log=None), max(one.turn for case in cases for one in _turns(case))
    for number, (case, name) in enumerate(zip(cases, labels.case_labels(cases), strict=True)):
        left = AXIS + (number % columns) * (width + AXIS + 0.1)
        top = 0.5 + (number // columns) * (height + GAP)
        sheet.text(left, sheet.top + top - 0.11, fitted(name, width, TEXT, "bold"), weight="bold")
        axes = sheet.axes(left, top, width, height)
        scale.apply(axes.yaxis, 5)
        _turn_axis(axes, last, cases)
        if number >= len(cases) - columns:
            axes.set_xlabel("turn of the conversation", labelpad=3)
        if number % columns == 0:
            axes.set_ylabel("latency" + (", log scale" if scale.log else ""), labelpad=3)
            axes.yaxis.set_label_coords(-0.50 / width, 0.5)
        _draw(axes, _turns(case), theme)
    return sheet.figure


def _turn_axis(axes: Axes, last: int, cases: list[Case]) -> None:
    """Whole numbers; the last one says if later turns are counted with it."""
    Scale(0.5, last + 0.5, log=False).apply(axes.xaxis, 6, grid=False)
    step = math.ceil(last / 10)
    ticks = [*range(1, last + 1, step)]
    later = any(one.and_later for case in cases for one in _turns(case))
    if later and ticks[-1] != last:
        ticks = [*(tick for tick in ticks if tick <= last - step), last]
    axes.xaxis.set_ticks(ticks, labels=[f"{tick}+" if later and tick == last else f"{tick}" for tick in ticks])


def _points(one: TurnFigures) -> list[list[float | None]]:
    both = [one.latency_s, *([one.ttft_s] if one.ttft_s else [])]
    return [[points.p50, points.p95] for points in both]


def _key(cases: list[Case], theme: Theme) -> list[tuple[str, dict[str, object]]]:
    turns = [one for case in cases for one in _turns(case)]
    return [(label, style) for label, style, value in _series(theme) if any(value(one) is not None for one in turns)]


def _series(theme: Theme) -> list[tuple[str, dict[str, object], Callable[[TurnFigures], float | None]]]:
    """Label, style and value of each line."""
    dashes = (0, (4, 2))
    return [
        ("latency p50", {"color": theme.blue, "ls": "-", "marker": "o"}, lambda one: one.latency_s.p50),
        ("latency p95", {"color": theme.vermillion, "ls": dashes, "marker": "D"}, lambda one: one.latency_s.p95),
        ("first token p50", {"color": theme.green, "ls": "-", "marker": "s"}, lambda one: _first(one).p50),
        ("first token p95", {"color": theme.green, "ls": dashes, "marker": "^"}, lambda one: _first(one).p95),
    ]


def _first(one: TurnFigures) -> Points:
    return one.ttft_s or Points()


def _draw(axes: Axes, turns: list[TurnFigures], theme: Theme) -> None:
    drawn = False
    for _, style, value in _series(theme):
        values = [(one.turn, found) for one in turns if (found := value(one)) is not None]
        if values:
            drawn = True
            axes.plot(*zip(*values, strict=True), lw=1.3, ms=4, mec=theme.surface, mew=0.6, **style)  # type: ignore[arg-type] # a style of matplotlib
    if not drawn:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", color=theme.muted, size=SMALL)


def in_words(result: RunResult) -> str:
    """The median of each turn of each case."""

    def words(case: Case) -> str:
        medians = [f"turn {one.turn} {units.seconds(one.latency_s.p50)}" for one in _turns(case) if one.latency_s.p50]
        return f"median latency of {units.listing(medians)}" if medians else "too few successes"

    return per_case(result, words)

"""Labelled horizontal bars, one row per case, one panel per quantity. Every bar shows its value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.measure.result import Case, RunResult
from reports.drawing.rows import Rows, bare, note, rows_of
from reports.drawing.scale import Scale, wants_log
from reports.drawing.sheet import EDGE, SMALL, WIDTH, Sheet, text_width
from reports.drawing.theme import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PITCH = 0.40
BAR = 0.24
GAP = 0.30


@dataclass(frozen=True, slots=True)
class Panel:
    """One quantity: its axis label, value and words per case, colour role, hatch and an optional reference value."""

    label: str
    value: Callable[[Case], float | None]
    words: Callable[[float | None], str]
    role: str
    hatch: str = ""
    reference: Callable[[Case], float | None] | None = None
    reference_words: str = ""


def bars(result: RunResult, theme: Theme, title: str, subtitle: str, panels: Sequence[Panel]) -> Figure:
    """The panels side by side over shared rows."""
    layout = rows_of(result.cases, PITCH)
    keyed = [panel for panel in panels if panel.reference and any(map(panel.reference, result.cases))]
    below = 0.55 + (0.2 if keyed else 0.0)
    sheet = Sheet(theme, title, note(result, subtitle), layout.height + below)
    width = (WIDTH - EDGE - layout.left - GAP * (len(panels) - 1)) / len(panels)
    for number, panel in enumerate(panels):
        axes = sheet.axes(layout.left + number * (width + GAP), 0, width, layout.height)
        _panel(axes, layout, panel, theme, width)
    layout.write(sheet)
    if keyed:
        style = {"color": theme.ink, "marker": "|", "ls": "", "ms": 9, "mew": 2}
        sheet.key(layout.height + 0.62, [(panel.reference_words, style) for panel in keyed], layout.left)
    return sheet.figure


def _panel(axes: Axes, layout: Rows, panel: Panel, theme: Theme, width: float) -> None:
    cases = [row.case for row in layout.rows]
    values = [panel.value(case) for case in cases]
    texts = [panel.words(value) if value is not None else "no data" for value in values]
    references = [panel.reference(case) if panel.reference else None for case in cases]
    scale = fitting_scale(values, texts, references, width)
    scale.apply(axes.xaxis, max(3, int(width / 0.42)))
    bare(axes, layout.height)
    axes.set_xlabel(panel.label + (", log scale" if scale.log else ""), labelpad=4)
    for row, value, words, reference in zip(layout.rows, values, texts, references, strict=True):
        style: dict[str, Any] = {"color": theme.roles()[panel.role], "edgecolor": theme.surface, "linewidth": 0}
        drawn = value or 0.0
        if drawn > scale.low:
            alpha = 0.55 if row.case.partial else 1.0
            left = scale.low if scale.log else 0.0
            axes.barh(row.y, drawn - left, BAR, left=left, hatch=panel.hatch, alpha=alpha, **style)
        if reference is not None:
            axes.plot([reference], [row.y], marker="|", ms=17, mew=2, color=theme.ink)
        at = max(scale.place(x) for x in (drawn if drawn > 0 else scale.low, reference or scale.low))
        role = theme.ink if value is not None else theme.muted
        axes.annotate(
            words, (at, row.y), (5, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            va="center", size=SMALL + 0.5, weight="bold" if value is not None else "normal", color=role,
        )  # fmt: skip


def fitting_scale(
    values: Sequence[float | None], texts: Sequence[str], references: Sequence[float | None], width: float
) -> Scale:
    """A scale that leaves room for the value of every bar within `width` inches."""
    import math

    log = wants_log(values)
    known = [value for value in (*values, *references) if value is not None and value > 0]
    if not known:
        return Scale(0.0, 1.0, log=False)
    low = min(known) / 2 if log else 0.0
    high = max(known) * 1.02
    for value, words, reference in zip(values, texts, references, strict=True):
        room = width - text_width(words, SMALL + 0.5, "bold") - 0.14
        end = max(value or 0.0, reference or 0.0)
        if end <= 0 or room <= 0:
            continue
        stretched = low * math.exp(math.log(end / low) * width / room) if log else end * width / room
        high = max(high, stretched)
    return Scale(low, high, log)

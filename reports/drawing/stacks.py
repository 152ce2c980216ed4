"""Stacked bars of shares, a row per case. Parts that are wide enough show their share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.base import units
from harness.measure.result import Case, RunResult
from reports.drawing.rows import bare, note, rows_of
from reports.drawing.scale import Scale
from reports.drawing.sheet import EDGE, LINE, SMALL, WIDTH, Sheet, text_width, wrapped
from reports.drawing.theme import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PITCH = 0.46
BAR = 0.27
BESIDE_MAX = 1.75
Shares = Callable[[Case], Sequence[float] | None]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a stack: its name, colour role and hatch."""

    name: str
    role: str
    hatch: str


def stacks(
    result: RunResult, theme: Theme, title: str, subtitle: str,
    parts: Sequence[Part], shares: Shares, beside: Callable[[Case], str], label: str,
) -> Figure:  # fmt: skip
    """One bar with total 1 per case, the text of `beside` at its right, and a legend of the parts that occur."""
    layout = rows_of(result.cases, PITCH)
    found = [shares(row.case) for row in layout.rows]
    used = [part for at, part in enumerate(parts) if any(one and one[at] > 0 for one in found)]
    sides = [wrapped(beside(row.case), BESIDE_MAX, 3, SMALL - 0.5) for row in layout.rows]
    room = max((text_width(line, SMALL - 0.5) for side in sides for line in side), default=0.0) + 0.1
    sheet = Sheet(theme, title, note(result, subtitle), layout.height + 0.62 + 0.19 * (1 + len(used) // 5))
    width = WIDTH - EDGE - layout.left - room - 0.08
    axes = sheet.axes(layout.left, 0, width, layout.height)
    Scale(0.0, 1.0, log=False, words=lambda tick: units.significant(tick * 100)).apply(axes.xaxis, 6)
    bare(axes, layout.height)
    axes.set_xlabel(label, labelpad=4)
    for row, one, side in zip(layout.rows, found, sides, strict=True):
        if one is None:
            axes.text(0.01, row.y, "no data", va="center", size=SMALL, color=theme.muted)
        else:
            _stack(axes, row.y, parts, one, width, theme)
        top = sheet.top + row.y - LINE * 0.85 * (len(side) - 1) / 2
        for number, line in enumerate(side):
            at = WIDTH - EDGE - room + 0.1
            sheet.text(at, top + LINE * 0.85 * number, line, size=SMALL - 0.5, color=theme.muted)
    layout.write(sheet)
    swatches = [
        (part.name, {"facecolor": theme.roles()[part.role], "edgecolor": theme.surface, "hatch": part.hatch})
        for part in used
    ]
    sheet.key(layout.height + 0.62, swatches, layout.left)
    return sheet.figure


def _stack(axes: Axes, y: float, parts: Sequence[Part], shares: Sequence[float], width: float, theme: Theme) -> None:
    left = 0.0
    for part, share in zip(parts, shares, strict=True):
        if share <= 0:
            continue
        style: dict[str, Any] = {
            "color": theme.roles()[part.role],
            "edgecolor": theme.surface,
            "hatch": part.hatch,
            "linewidth": 0.6,
        }
        axes.barh(y, share, BAR, left=left, **style)
        words = units.share(share)
        if text_width(words, SMALL - 0.5) + 0.12 < share * width:
            pill = {"boxstyle": "round,pad=0.18", "facecolor": theme.surface, "edgecolor": "none"}
            middle = left + share / 2
            axes.text(middle, y, words, ha="center", va="center_baseline", size=SMALL - 0.5, bbox=pill)
        left += share

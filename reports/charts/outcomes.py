"""Outcomes of all items as stacked shares, a row per case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.base import units
from harness.measure.result import Case, RunResult
from reports import labels
from reports.drawing.rows import bare, note, rows_of
from reports.drawing.scale import Scale
from reports.drawing.sheet import EDGE, SMALL, WIDTH, Sheet
from reports.drawing.theme import Theme
from reports.wording import per_case

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Outcomes"
HOW = "Shares of all items that the load scheduled. The number is the share that succeeded."
ORDER = 70
PITCH, BAR = 0.40, 0.24
STYLES = {
    "ok": ("green", ""),
    "rejected": ("orange", "////"),
    "timed_out": ("purple", "xxxx"),
    "server_error": ("vermillion", "\\\\\\\\"),
    "client_error": ("yellow", "...."),
    "connection_error": ("blue", "||||"),
    "bad_response": ("sky", "----"),
    "cancelled": ("muted", "////"),
    "not_sent": ("grey", ""),
    "unfinished": ("grey", "xxxx"),
}


def applies(result: RunResult) -> bool:
    """Whether anything was scheduled."""
    return any(case.counts.scheduled for case in result.cases)


def figure(result: RunResult, theme: Theme) -> Figure:
    """A stacked bar per case."""
    layout = rows_of(result.cases, PITCH)
    present = [name for name in STYLES if any(getattr(case.counts, name) for case in result.cases)]
    sheet = Sheet(theme, TITLE, note(result, HOW), layout.height + 0.5 + 0.2 * (1 + len(present) // 5))
    width = WIDTH - EDGE - layout.left - 0.82
    axes = sheet.axes(layout.left, 0, width, layout.height)
    Scale(0.0, 1.0, log=False, words=units.percent).apply(axes.xaxis, 6)
    bare(axes, layout.height)
    for row in layout.rows:
        left = 0.0
        for name in present:
            share = getattr(row.case.counts, name) / (row.case.counts.scheduled or 1)
            axes.barh(row.y, share, BAR, left=left, **_style(name, theme))
            left += share
        counts = row.case.counts
        words = f"{units.share(counts.ok / counts.scheduled)} ok" if counts.scheduled else "no data"
        axes.annotate(
            words, (1.0, row.y), (5, 0),
            xycoords=("axes fraction", "data"), textcoords="offset points", va="center", size=SMALL, weight="bold",
        )  # fmt: skip
    layout.write(sheet)
    sheet.key(
        layout.height + 0.42, [(labels.OUTCOME_WORDS[name], _style(name, theme)) for name in present], layout.left
    )
    return sheet.figure


def _style(name: str, theme: Theme) -> dict[str, Any]:
    role, hatch = STYLES[name]
    return {"facecolor": theme.roles()[role], "edgecolor": theme.surface, "hatch": hatch, "linewidth": 0}


def in_words(result: RunResult) -> str:
    """Every outcome that occurred, of each case."""

    def words(case: Case) -> str:
        found = [
            f"{units.count(getattr(case.counts, name))} {labels.OUTCOME_WORDS[name]}"
            for name in STYLES
            if getattr(case.counts, name)
        ]
        return units.listing(found) or "nothing scheduled"

    return per_case(result, words)

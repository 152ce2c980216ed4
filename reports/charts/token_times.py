"""Cumulative distributions of the times of streams: first token, gaps between tokens, time per output token."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.base import units
from harness.measure.result import Case, Distribution, RunResult
from reports.charts.latency import SHARES, curve
from reports.drawing.grid import Axis, grid, height
from reports.drawing.rows import note
from reports.drawing.scale import Scale, scale_for
from reports.drawing.sheet import SMALL, Sheet
from reports.drawing.theme import Theme
from reports.wording import per_case, percentiles_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Distribution of the times of streams"
HOW = (
    "Share that took at most this long; further left is better. Time to first token and time per output token (TPOT, "
    "the mean after the first token) have one value for each stream; a gap is between two content events (ITL). "
    "Gaps far above TPOT are stalls within a stream."
)
ORDER = 26

TIMES: list[tuple[str, str, str, object, Callable[[Case], Distribution | None]]] = [
    ("time to first token", "TTFT", "blue", "-", lambda case: case.ttft_s),
    ("gaps between tokens", "gaps", "green", (0, (4, 2)), lambda case: case.itl_s),
    ("time per output token", "TPOT", "orange", ":", lambda case: case.tpot_s),
]


def applies(result: RunResult) -> bool:
    """Whether any case streamed several tokens."""
    return any(case.itl_s is not None and case.itl_s.n for case in result.cases)


def figure(result: RunResult, theme: Theme) -> Figure:
    """A panel per case over one logarithmic axis."""
    cases, roles = result.cases, theme.roles()
    sheet = Sheet(theme, TITLE, note(result, HOW), height(cases))
    styles = [(name, {"color": roles[role], "ls": style, "lw": 1.8}) for name, _, role, style, _ in TIMES]
    sheet.key(0.06, [*styles, ("p50 and p99", {"color": theme.muted, "ls": "", "marker": "o", "ms": 4})])
    for case, axes in grid(sheet, cases, Axis(_scale(cases), "time, log scale"), Axis(SHARES, "share")):
        if not (case.ttft_s and case.ttft_s.n):
            axes.text(0.5, 0.5, "no stream", transform=axes.transAxes, ha="center", color=theme.muted, size=SMALL)
        for _, _, role, style, of in TIMES:
            curve(axes, of(case) or Distribution(), roles[role], style)
    return sheet.figure


def _scale(cases: list[Case]) -> Scale:
    spreads = [spread for case in cases for *_, of in TIMES if (spread := of(case)) is not None and spread.n]
    # Events that were read together have no gap; they would stretch the axis to the left for nothing.
    least = [max(spread.min or 0.0, (spread.p50.value or 0.0) / 100, 1e-6) for spread in spreads]
    return scale_for([*least, *(spread.max for spread in spreads)], units.seconds, log=True)


def in_words(result: RunResult) -> str:
    """Median and p99 of each time of each case."""

    def words(case: Case) -> str:
        return "; ".join(f"{short} {percentiles_words(of(case) or Distribution())}" for _, short, _, _, of in TIMES)

    return per_case(result, words)

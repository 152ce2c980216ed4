"""Cumulative distributions of latency from due time and of service time: the server's part of the latency."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.base import units
from harness.measure.result import Case, Distribution, RunResult
from reports.drawing.grid import Axis, grid, height
from reports.drawing.rows import note
from reports.drawing.scale import Scale, scale_for
from reports.drawing.sheet import SMALL, Sheet
from reports.drawing.theme import Theme
from reports.wording import latency_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Latency distribution"
HOW = (
    "Share of successes that took at most this long; further left is better. Solid: latency from the instant an item "
    "was due. Dashed: service time, from sent to done. The gap between the two is the wait in the client."
)
ORDER = 20
SHARES = Scale(0.0, 1.04, log=False, words=units.percent)


def applies(result: RunResult) -> bool:
    """Whether any case had a success."""
    return any(case.latency_s.n for case in result.cases)


def cumulative(spread: Distribution) -> tuple[list[float], list[float]]:
    """Edges of the histogram's bins, and the share at or below each."""
    total = sum(spread.log_counts)
    if not total:
        return [], []
    done, edges, shares = 0, [spread.log_edges[0]], [0.0]
    for edge, count in zip(spread.log_edges[1:], spread.log_counts, strict=True):
        done += count
        edges.append(edge)
        shares.append(done / total)
    return edges, shares


def figure(result: RunResult, theme: Theme) -> Figure:
    """A panel per case over one logarithmic axis."""
    cases = result.cases
    sheet = Sheet(theme, TITLE, note(result, HOW), height(cases))
    sheet.key(
        0.06,
        [
            ("latency, from due time", {"color": theme.blue, "ls": "-", "lw": 1.8}),
            ("service time", {"color": theme.orange, "ls": (0, (4, 2)), "lw": 1.8}),
            ("p50 and p99", {"color": theme.muted, "ls": "", "marker": "o", "ms": 4}),
        ],
    )
    for case, axes in grid(sheet, cases, Axis(_scale(cases), "time, log scale"), Axis(SHARES, "share of successes")):
        if not case.latency_s.n:
            axes.text(0.5, 0.5, "no success", transform=axes.transAxes, ha="center", color=theme.muted, size=SMALL)
        curve(axes, case.latency_s, theme.blue, "-")
        curve(axes, case.service_time_s, theme.orange, (0, (4, 2)))
    return sheet.figure


def _scale(cases: list[Case]) -> Scale:
    ends = [
        value
        for case in cases
        for spread in (case.latency_s, case.service_time_s)
        if spread.n
        for value in (spread.min, spread.max)
    ]
    return scale_for(ends, units.seconds, log=True)


def curve(axes: object, spread: Distribution, color: str, style: object) -> None:
    """The cumulative distribution, with its median and p99."""
    edges, shares = cumulative(spread)
    if not edges:
        return
    axes.plot(edges, shares, color=color, ls=style, lw=1.8)  # type: ignore[attr-defined] # matplotlib's axes
    for share, found in ((0.5, spread.p50), (0.99, spread.p99)):
        if found.value is not None:
            axes.plot([found.value], [share], "o", ms=4, color=color)  # type: ignore[attr-defined] # as above


in_words = latency_words

"""Throughput and latency over concurrency: shows where higher concurrency stops helping."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.base import units
from harness.measure.judge.sweep import best, curve
from harness.measure.result import RunResult
from reports import labels
from reports.drawing.rows import note
from reports.drawing.scale import Scale, scale_for
from reports.drawing.sheet import EDGE, WIDTH, Sheet
from reports.drawing.theme import Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Throughput and service time over concurrency"
HOW = (
    "A point per concurrency. The vertical line is the best one: the smallest with 99 % of the highest goodput. To "
    "the right of it, requests only wait longer."
)
ORDER = 5
HEIGHT, GAP = 2.1, 0.35


def applies(result: RunResult) -> bool:
    """Whether the cases are a sweep."""
    return bool(curve(result.cases))


def figure(result: RunResult, theme: Theme) -> Figure:
    """Two panels over one axis."""
    points = curve(result.cases)
    levels = [float(level) for level, _ in points]
    rates = [case.rates_per_s.goodput or 0.0 for _, case in points]
    tails = {"p50": theme.green, "p99": theme.vermillion}
    times = {name: [getattr(case.service_time_s, name).value for _, case in points] for name in tails}
    sheet = Sheet(theme, TITLE, note(result, HOW), 2 * HEIGHT + GAP + 0.55)
    left, width = 0.72, WIDTH - 0.72 - EDGE
    across = Scale(min(levels) / 1.2, max(levels) * 1.2, log=True)
    chosen = best(points)
    upper = sheet.axes(left, 0.05, width, HEIGHT)
    scale_for(rates).apply(upper.yaxis, 5)
    upper.plot(levels, rates, color=theme.blue, marker="o", ms=4)
    upper.set_ylabel("goodput, ok/s", labelpad=4)
    lower = sheet.axes(left, 0.05 + HEIGHT + GAP, width, HEIGHT)
    known = [value for values in times.values() for value in values if value is not None]
    if known:
        scale_for(known, units.seconds).apply(lower.yaxis, 5)
    for name, color in tails.items():
        drawn = [(level, value) for level, value in zip(levels, times[name], strict=True) if value is not None]
        lower.plot([x for x, _ in drawn], [y for _, y in drawn], color=color, marker="o", ms=4, label=name)
    lower.legend(loc="upper left", frameon=False)
    lower.set_ylabel("service time", labelpad=4)
    lower.set_xlabel("concurrency, log scale", labelpad=4)
    for axes in (upper, lower):
        across.apply(axes.xaxis, 9)
        if chosen is not None:
            axes.axvline(chosen[0], color=theme.line, lw=1.0, ls=(0, (4, 2)))
    return sheet.figure


def in_words(result: RunResult) -> str:
    """The best concurrency, and the figures of every point."""
    points = curve(result.cases)
    chosen = best(points)
    figures = "; ".join(
        f"{level}: {units.rate(case.rates_per_s.goodput)}, p50 {labels.percentile(case.service_time_s, 'p50')}"
        for level, case in points
    )
    return (f"best concurrency {chosen[0]}; " if chosen is not None else "") + figures

"""Latency and service time over the due times of items: shows stalls."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.measure.result import Bucket, Case, RunResult
from reports import labels
from reports.drawing.panels import has_timeline, middles, scale_over_time, small_multiples
from reports.drawing.theme import Theme
from reports.wording import latency_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Latency over time"
HOW = (
    "Median and p99 in each slice of time: of latency for the items that were due in it, of service time for those "
    "that were answered in it. A slice with fewer than 100 answers has no p99. Where latency rises and service time "
    "does not, items waited in the client for a server that had stopped. A shaded start is warm-up, "
    "which does not count."
)
ORDER = 60


def applies(result: RunResult) -> bool:
    """Whether there are arrivals. The items of a backlog are all due at once."""
    return has_timeline(result) and any(labels.group(case) != labels.BACKLOG for case in result.cases)


def figure(result: RunResult, theme: Theme) -> Figure:
    """A panel per case on one scale."""
    scale = scale_over_time(
        result, lambda b: (b.latency_p50_s, b.latency_p99_s, b.service_p50_s, b.service_p99_s), spans=True
    )
    drawn = [line for line in _lines(theme) if any(line[1](b) is not None for c in result.cases for b in c.timeline)]
    key = [(name, style) for name, _, style in drawn]
    return small_multiples(
        result, theme, TITLE, HOW, "latency" + (", log scale" if scale.log else ""), scale, key, _draw
    )


def _lines(theme: Theme) -> list[tuple[str, Callable[[Bucket], float | None], dict[str, Any]]]:
    """Name, value and style of each line."""
    return [
        ("latency p50", lambda b: b.latency_p50_s, {"color": theme.blue, "ls": "-", "lw": 1.3}),
        ("latency p99", lambda b: b.latency_p99_s, {"color": theme.vermillion, "lw": 1.3, "marker": "o", "ms": 3}),
        ("service time p50", lambda b: b.service_p50_s, {"color": theme.green, "ls": ":", "lw": 1.3}),
        ("service time p99", lambda b: b.service_p99_s, {"color": theme.green, "ls": (0, (4, 2)), "lw": 1.5}),
    ]


def _draw(axes: Axes, case: Case, buckets: list[Bucket], theme: Theme) -> None:
    if case.warmup is not None and case.warmup.removed_s:
        axes.axvspan(0, case.warmup.removed_s, color=theme.muted, alpha=0.2, lw=0)
    for _, value, style in _lines(theme):
        axes.plot(*middles(buckets, value), **style)


in_words = latency_words

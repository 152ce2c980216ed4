"""Latency and service time over the due times of items: shows stalls."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    "Of the items that were due in each slice of time: median and p99 of latency from due time and of service time. "
    "A slice with fewer than 100 answers has no p99. Where latency rises and service time does not, "
    "items waited in the client for a server that had stopped. A shaded start is warm-up, which does not count."
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
    key = [
        ("latency p50", {"color": theme.blue, "ls": "-", "lw": 1.3}),
        ("latency p99", {"color": theme.vermillion, "ls": "-", "lw": 1.3, "marker": "o", "ms": 3}),
        ("service time p50", {"color": theme.green, "ls": ":", "lw": 1.3}),
        ("service time p99", {"color": theme.green, "ls": (0, (4, 2)), "lw": 1.5}),
    ]
    return small_multiples(
        result, theme, TITLE, HOW, "latency" + (", log scale" if scale.log else ""), scale, key, _draw
    )


def _draw(axes: Axes, case: Case, buckets: list[Bucket], theme: Theme) -> None:
    if case.warmup is not None and case.warmup.removed_s:
        axes.axvspan(0, case.warmup.removed_s, color=theme.muted, alpha=0.2, lw=0)
    axes.plot(*middles(buckets, lambda bucket: bucket.latency_p50_s), color=theme.blue, lw=1.3)
    axes.plot(*middles(buckets, lambda bucket: bucket.latency_p99_s), color=theme.vermillion, lw=1.3, marker="o", ms=3)
    axes.plot(*middles(buckets, lambda bucket: bucket.service_p50_s), color=theme.green, lw=1.3, ls=":")
    axes.plot(*middles(buckets, lambda bucket: bucket.service_p99_s), color=theme.green, lw=1.5, ls=(0, (4, 2)))


in_words = latency_words

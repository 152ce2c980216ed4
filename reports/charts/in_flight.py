"""Requests in flight over time, and the concurrency limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.base import units
from harness.measure.result import Bucket, Case, RunResult
from reports.drawing.panels import Key, has_timeline, scale_over_time, small_multiples, steps
from reports.drawing.scale import Scale
from reports.drawing.theme import Theme
from reports.wording import per_case

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "In flight over time"
HOW = "Requests sent and not yet answered (area), and the strategy's concurrency limit, if any (dashed)."
ORDER = 40
LOG_FROM, FLOOR = 8.0, 0.7


def applies(result: RunResult) -> bool:
    """Whether any case has a timeline."""
    return has_timeline(result)


def figure(result: RunResult, theme: Theme) -> Figure:
    """A panel per case on one scale."""
    scale = _scale(result)
    key: Key = [("in flight", {"color": theme.sky})]
    if any(bucket.limit is not None for case in result.cases for bucket in case.timeline):
        key.append(("limit", {"color": theme.vermillion, "ls": (0, (4, 2)), "lw": 1.5}))
    return small_multiples(result, theme, TITLE, HOW, "requests", scale, key, _draw)


def _scale(result: RunResult) -> Scale:
    """Linear from 0; logarithmic from below 1 if the peaks of the cases differ too much."""
    peaks = [max(bucket.in_flight for bucket in case.timeline) for case in result.cases if case.timeline]
    if max(peaks) > LOG_FROM * max(1.0, min(peaks)):
        return Scale(FLOOR, max(peaks) * 1.4, log=True)
    return scale_over_time(result, lambda bucket: (bucket.in_flight, bucket.limit))


def _draw(axes: Axes, case: Case, buckets: list[Bucket], theme: Theme) -> None:
    times, values = steps(buckets, lambda bucket: bucket.in_flight)
    floor = axes.get_ylim()[0]
    axes.fill_between(times, floor, values, step="post", color=theme.sky, alpha=0.55, linewidth=0)
    axes.step(times, values, where="post", color=theme.blue, lw=1.0)
    times, limits = steps(buckets, lambda bucket: bucket.limit)
    axes.step(times, limits, where="post", color=theme.vermillion, lw=1.5, ls=(0, (4, 2)))


def in_words(result: RunResult) -> str:
    """Mean and maximum of each case."""

    def words(case: Case) -> str:
        return f"{units.level(case.in_flight.mean)} in flight on average, {units.count(case.in_flight.max)} at most"

    return per_case(result, words)

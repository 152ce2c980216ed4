"""Successes and failures per second over time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from harness.base import units
from harness.measure.result import Bucket, Case, RunResult
from reports import labels
from reports.drawing.panels import Key, has_timeline, scale_over_time, small_multiples, steps
from reports.drawing.theme import Theme
from reports.wording import per_case

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Throughput and errors over time"
HOW = "Answers per second: successes (solid area) and failures on top (hatched)."
HOW_DUE = f"{HOW} Dotted: items that became due, up to the first that was never sent."
ORDER = 50


def applies(result: RunResult) -> bool:
    """Whether any case has a timeline."""
    return has_timeline(result)


def _per_second(count: int, bucket: Bucket) -> float:
    return count / bucket.width_s if bucket.width_s else 0.0


def _due_until(case: Case, buckets: list[Bucket]) -> float:
    """The end of the line of due items: items that were never sent have no record, so it ends before the first.

    Turns that were left out after a failed one have a record.
    """
    if case.counts.not_sent == case.counts.skipped:
        return math.inf
    return max((bucket.t_s for bucket in buckets if bucket.due), default=0.0)


def figure(result: RunResult, theme: Theme) -> Figure:
    """A panel per case on one scale."""
    open_loop = any(labels.group(case) != labels.BACKLOG for case in result.cases)
    scale = scale_over_time(
        result,
        lambda bucket: (
            _per_second(bucket.ok + bucket.failed, bucket),
            _per_second(bucket.due, bucket) if open_loop and not labels.is_mixed(result.cases) else None,
        ),
    )
    key: Key = [
        ("ok", {"color": theme.green}),
        ("failed", {"facecolor": theme.vermillion, "edgecolor": theme.surface, "hatch": "////"}),
    ]
    if open_loop:
        key.append(("due", {"color": theme.ink, "ls": ":", "lw": 1.3}))
    how = HOW_DUE if open_loop else HOW
    return small_multiples(result, theme, TITLE, how, "per second", scale, key, _draw)


def _draw(axes: Axes, case: Case, buckets: list[Bucket], theme: Theme) -> None:
    times, ok = steps(buckets, lambda bucket: _per_second(bucket.ok, bucket))
    _, both = steps(buckets, lambda bucket: _per_second(bucket.ok + bucket.failed, bucket))
    axes.fill_between(times, ok, step="post", color=theme.green, alpha=0.75, linewidth=0)
    if both != ok:
        style: dict[str, Any] = {"facecolor": theme.vermillion, "edgecolor": theme.surface, "hatch": "////"}
        axes.fill_between(times, ok, both, step="post", linewidth=0, **style)
    if labels.group(case) != labels.BACKLOG:
        until = _due_until(case, buckets)
        times, due = steps(buckets, lambda bucket: _per_second(bucket.due, bucket) if bucket.t_s < until else None)
        axes.step(times, due, where="post", color=theme.ink, lw=1.3, ls=":")


def in_words(result: RunResult) -> str:
    """Rate and failures of each case."""

    def words(case: Case) -> str:
        return f"{units.rate(case.rates_per_s.completed)} ok, {units.share(labels.failed_share(case))} failed"

    return per_case(result, words)

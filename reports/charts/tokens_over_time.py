"""Output tokens per second over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.base import units
from harness.measure.result import Bucket, Case, RunResult
from reports.drawing.panels import scale_over_time, small_multiples, steps
from reports.drawing.theme import Theme
from reports.wording import per_case

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Output tokens over time"
HOW = (
    "Output tokens per second, by the instants at which they arrived, of requests that ended ok; of an answer that "
    "came whole, all at its end. A shaded start is warm-up, which does not count."
)
ORDER = 52


def applies(result: RunResult) -> bool:
    """Whether any case has output tokens."""
    return any(bucket.output_tokens for case in result.cases for bucket in case.timeline)


def _rate(bucket: Bucket) -> float | None:
    return None if bucket.output_tokens is None else bucket.output_tokens / bucket.width_s


def figure(result: RunResult, theme: Theme) -> Figure:
    """A panel per case on one scale."""
    scale = scale_over_time(result, lambda bucket: (_rate(bucket),))
    key = [("output tokens per second", {"color": theme.green, "ls": "-", "lw": 1.5})]
    return small_multiples(result, theme, TITLE, HOW, "tokens/s", scale, [*key], _draw)


def _draw(axes: Axes, case: Case, buckets: list[Bucket], theme: Theme) -> None:
    if case.warmup is not None and case.warmup.removed_s:
        axes.axvspan(0, case.warmup.removed_s, color=theme.muted, alpha=0.2, lw=0)
    times, values = steps(buckets, _rate)
    axes.plot(times, values, color=theme.green, lw=1.5, drawstyle="steps-post")
    axes.fill_between(times, values, step="post", color=theme.green, alpha=0.18, lw=0)


def in_words(result: RunResult) -> str:
    """Output and prompt tokens per second of each case."""

    def words(case: Case) -> str:
        if case.tokens is None:
            return "no tokens"
        per_s = case.tokens.per_s
        return f"{units.rate(per_s.output)} output tokens, {units.rate(per_s.prompt)} prompt tokens"

    return per_case(result, words)

"""Composition of the mean latency: the sum of lag, queue wait, retry time and service time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.base import units
from harness.measure.result import Case, RunResult
from reports.drawing.stacks import Part, stacks
from reports.drawing.theme import Theme
from reports.wording import per_case

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Where the time went"
HOW = (
    "Mean latency from due time, split completely: the lag of the load generator, waiting in the client, "
    "earlier attempts, and the last exchange with the server."
)
ORDER = 30

PARTS = (
    Part("lag", "purple", ""),
    Part("queue wait", "sky", "\\\\\\\\"),
    Part("retry time", "vermillion", "xxxx"),
    Part("service time", "orange", "////"),
)


def applies(result: RunResult) -> bool:
    """Whether any case has a mean latency."""
    return any(_means(case) is not None for case in result.cases)


def _means(case: Case) -> list[float] | None:
    spreads = (case.lag_s, case.queue_wait_s, case.retry_time_s, case.service_time_s)
    if case.latency_s.mean is None:
        return None
    return [max(0.0, spread.mean or 0.0) for spread in spreads]


def figure(result: RunResult, theme: Theme) -> Figure:
    """A stacked bar of shares per case, each with its total."""

    def shares(case: Case) -> list[float] | None:
        means = _means(case)
        total = sum(means) if means else 0.0
        return [mean / total for mean in means] if means and total > 0 else None

    def beside(case: Case) -> str:
        means = _means(case)
        return f"{units.seconds(sum(means))} mean" if means else ""

    return stacks(result, theme, TITLE, HOW, PARTS, shares, beside, "share of the mean latency, %")


def in_words(result: RunResult) -> str:
    """The mean of each part, per case."""

    def words(case: Case) -> str:
        means = _means(case)
        if means is None:
            return "no data"
        return ", ".join(f"{part.name} {units.seconds(mean)}" for part, mean in zip(PARTS, means, strict=True))

    return per_case(result, words)

"""What bound the sending of an adaptive client over time: limit, pace, pause, quota, maximum or demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from harness.base import units
from harness.client.bound import Bound
from harness.measure.result import Bucket, Case, RunResult
from reports.drawing.panels import Key, small_multiples
from reports.drawing.scale import scale_for
from reports.drawing.theme import Theme
from reports.wording import per_case

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "What bound the sending"
HOW = "Share of the time in which each bound kept the client from sending more."
ORDER = 46


def applies(result: RunResult) -> bool:
    """Whether something else than the limit's number in flight bound the sending of a case."""
    return any(set(_shares(case)) - {Bound.limit.name} for case in _asked(result))


def figure(result: RunResult, theme: Theme) -> Figure:
    """A panel for each case whose gates were asked: stacked shares."""
    drawn = msgspec.structs.replace(result, cases=_asked(result))
    found = {name for case in drawn.cases for name in _shares(case)}
    key: Key = [(bound.name, {"color": _colour(bound, theme)}) for bound in Bound if bound.name in found]
    return small_multiples(drawn, theme, TITLE, HOW, "share, %", scale_for([0.0, 100.0], log=False), key, _draw)


def _asked(result: RunResult) -> list[Case]:
    return [case for case in result.cases if case.limit is not None and case.limit.bounds and case.timeline]


def _shares(case: Case) -> dict[str, float]:
    return case.limit.bound_by if case.limit is not None else {}


def _colour(bound: Bound, theme: Theme) -> str:
    return {
        Bound.demand: theme.muted,
        Bound.limit: theme.sky,
        Bound.maximum: theme.orange,
        Bound.pace: theme.vermillion,
        Bound.pause: theme.purple,
        Bound.quota: theme.green,
    }[bound]


def _draw(axes: Axes, case: Case, buckets: list[Bucket], theme: Theme) -> None:
    del buckets
    spans = case.limit.bounds if case.limit is not None else []
    times = [at for span in spans for at in (span.t_s, span.t_s + span.width_s)]
    below = [0.0] * len(times)
    for bound in Bound:
        values = [100.0 * span.shares.get(bound.name, 0.0) for span in spans for _ in range(2)]
        above = [low + value for low, value in zip(below, values, strict=True)]
        if any(values):
            axes.fill_between(times, below, above, color=_colour(bound, theme), alpha=0.75, linewidth=0)
        below = above


def in_words(result: RunResult) -> str:
    """The shares of each case, the largest first."""

    def words(case: Case) -> str:
        shares = sorted(_shares(case).items(), key=lambda entry: -entry[1])
        return ", ".join(f"{name} {units.share(share)}" for name, share in shares)

    return per_case(msgspec.structs.replace(result, cases=_asked(result)), words)

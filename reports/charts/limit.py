"""An adaptive limit over time, with the cause of each change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from harness.client.cause import Family, family_of
from harness.measure.result import Bucket, Case, LimitChange, RunResult
from reports.drawing.panels import Key, small_multiples, steps
from reports.drawing.scale import scale_for
from reports.drawing.theme import Theme
from reports.wording import causes_words, per_case

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "The limit over time, and the causes of its changes"
HOW = "Allowed attempts in flight (line), actual attempts in flight (area), and the cause of each change (marks)."
ORDER = 45


def applies(result: RunResult) -> bool:
    """Whether a limit changed in any case."""
    return any(_changes(case) and case.timeline for case in result.cases)


def figure(result: RunResult, theme: Theme) -> Figure:
    """A panel for each case with an adaptive limit."""
    drawn = msgspec.structs.replace(result, cases=[case for case in result.cases if _changes(case) and case.timeline])
    marks = _marks(theme)
    key: Key = [("limit", {"color": theme.ink, "lw": 1.2, "ls": "-"}), ("in flight", {"color": theme.sky})]
    key += [
        (str(family), {"color": color, "marker": marker, "ls": "", "ms": 4})
        for family, (color, marker) in marks.items()
    ]
    scale = scale_for([change.limit for case in drawn.cases for change in _changes(case)], log=False)
    return small_multiples(drawn, theme, TITLE, HOW, "attempts", scale, key, _draw)


def _marks(theme: Theme) -> dict[Family, tuple[str, str]]:
    return {
        Family.more: (theme.green, "^"),
        Family.probe: (theme.blue, "o"),
        Family.fewer: (theme.vermillion, "v"),
        Family.refused: (theme.purple, "X"),
    }


def _changes(case: Case) -> list[LimitChange]:
    return case.limit.timeline if case.limit is not None else []


def _draw(axes: Axes, case: Case, buckets: list[Bucket], theme: Theme) -> None:
    times, values = steps(buckets, lambda bucket: bucket.in_flight)
    axes.fill_between(times, 0, values, step="post", color=theme.sky, alpha=0.45, linewidth=0)
    changes = _changes(case)
    end = max(times[-1], changes[-1].t_s)
    line = [*changes, LimitChange(end, changes[-1].limit, "")]
    axes.step([c.t_s for c in line], [c.limit for c in line], where="post", color=theme.ink, lw=1.2)
    for family, (color, marker) in _marks(theme).items():
        of = [change for change in changes[1:] if family_of(change.cause) is family]
        axes.plot([c.t_s for c in of], [c.limit for c in of], marker, color=color, ms=4, mew=0)


def in_words(result: RunResult) -> str:
    """Number of changes of each limit, and the main causes."""
    found = [case for case in result.cases if _changes(case)]
    return per_case(msgspec.structs.replace(result, cases=found), causes_words)

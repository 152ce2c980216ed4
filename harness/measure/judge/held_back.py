"""What held an adaptive client back beside its limit: a pace, an outage, or the limit's maximum. Pure.

The shares are of the first repeat's time, as the timeline of the limit is.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from harness.base import units
from harness.client.cause import Cause
from harness.measure.result import Case, LimitChange

PACED_SHARE_REPORTED, MAXIMUM_SHARE_REPORTED = 0.05, 0.2
_OUTAGE = Cause.outage.value


def held_back(case: Case) -> str:
    """Sentences for a diagnosis, each with a space before it; empty if only the limit itself counted."""
    spans = list(_spans(case))
    total_s = sum(seconds for _, seconds in spans)
    if not total_s:
        return ""
    return "".join(
        f" {sentence}" for sentence in [*_outage(spans), *_paced(spans, total_s), *_maximum(case, spans, total_s)]
    )


def _spans(case: Case) -> Iterator[tuple[LimitChange, float]]:
    """Each state of the limit, and how long it lasted in seconds."""
    if case.limit is None or not case.limit.timeline:
        return
    end = (case.makespan_s or 0.0) if not case.timeline else max(b.t_s + b.width_s for b in case.timeline)
    last = case.limit.timeline[-1]
    ended = LimitChange(max(end, last.t_s), last.limit, "")
    for change, following in pairwise([*case.limit.timeline, ended]):
        yield change, following.t_s - change.t_s


def _outage(spans: list[tuple[LimitChange, float]]) -> Iterator[str]:
    lost_s = sum(seconds for change, seconds in spans if change.cause == _OUTAGE)
    if lost_s:
        yield f"For {units.seconds(lost_s)} the server accepted nothing, and the client sent only probes."


def _paced(spans: list[tuple[LimitChange, float]], total_s: float) -> Iterator[str]:
    paced = [(c.pace_per_s, s) for c, s in spans if c.pace_per_s is not None and c.cause != _OUTAGE]
    paced_s = sum(seconds for _, seconds in paced)
    if paced_s > PACED_SHARE_REPORTED * total_s:
        mean = sum(pace * seconds for pace, seconds in paced) / paced_s
        yield (
            f"After refusals the client paced its attempts for {units.share(paced_s / total_s)} of the time, "
            f"at {units.rate(mean)} in the mean."
        )


def _maximum(case: Case, spans: list[tuple[LimitChange, float]], total_s: float) -> Iterator[str]:
    maximum = case.strategy.settings.get("maximum")
    if case.limit is None or not isinstance(maximum, int):
        return
    together = maximum * max(1, case.limit.applications)
    at_s = sum(seconds for change, seconds in spans if change.limit >= together)
    if at_s > MAXIMUM_SHARE_REPORTED * total_s:
        yield (
            f"The limit was at its maximum of {maximum:,} for {units.share(at_s / total_s)} of the time: "
            f"a larger one (maximum={2 * maximum}) may give more."
        )

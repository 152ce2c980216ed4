"""When a sweep may stop: at saturation, or when too many requests fail. Pure.

By concurrency, a level is saturated if it gives no more than the best level of at most half of it (within 5 %), while
latency is 1.5 times as long or requests fail. By rate, it is saturated if the server completes less than 90 % of
the arrivals. Two saturated levels in a row end the ascent, so that the curve beyond the knee is seen. So do two
levels at which more requests fail than the SLO allows or, without an SLO, than at the lowest level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from harness.base import units
from harness.measure.judge.slo import Condition
from harness.measure.result import Case

ALIKE = 1.05
SLOWER = 1.5
FAILED = 0.01
COMPLETED_SHARE = 0.9
IN_A_ROW = 2


class FirstRepeat(NamedTuple):
    """The first repeat of a level."""

    level: float
    per_s: float
    p50_s: float | None
    errors: float
    # Arrivals per second, which differ from the level by chance; None: as the level says.
    offered_per_s: float | None = None


def seen(level: float, case: Case) -> FirstRepeat:
    """The figures of the first repeat of a level."""
    first = min(case.by_repeat, key=lambda one: one.repeat, default=None)
    if first is None or not first.scheduled:
        return FirstRepeat(level, 0.0, None, 1.0)
    span_s = case.load.duration_s
    return FirstRepeat(
        level,
        first.completed_per_s or 0.0,
        first.service_time_s.p50,
        1 - first.ok / first.scheduled,
        first.scheduled / span_s if span_s else None,
    )


def reason_to_stop(
    by: Literal["concurrency", "rate"], ascent: Sequence[FirstRepeat], conditions: Sequence[Condition] = ()
) -> str | None:
    """Why no higher level is needed after these, in words; None to go on."""
    if len(ascent) < IN_A_ROW:
        return None
    limit = min((one.limit for one in conditions if one.metric == "errors"), default=None)
    most = errors_allowed(ascent[0].errors) if limit is None else limit
    if all(one.errors > most for one in ascent[-IN_A_ROW:]):
        than = "at the lowest level" if limit is None else "the SLO allows"
        return f"{units.share(ascent[-1].errors)} of the requests failed, more than {than}"
    if not all(_saturated(by, ascent, at) for at in range(len(ascent) - IN_A_ROW, len(ascent))):
        return None
    if by == "rate":
        return "the server completed less than 90 % of the offered rate"
    return "throughput no longer rose while latency or failures grew"


def errors_allowed(lowest: float) -> float:
    """The share of failures up to which a level is no worse than the lowest one, at which `lowest` fail."""
    return 1.5 * lowest + FAILED


def _saturated(by: str, ascent: Sequence[FirstRepeat], at: int) -> bool:
    here = ascent[at]
    if by == "rate":
        return here.per_s < COMPLETED_SHARE * (here.offered_per_s or here.level)
    half = [one for one in ascent[:at] if one.level <= here.level / 2]
    if not half:
        return False
    before = max(half, key=lambda one: one.per_s)
    grew = here.p50_s is None or (before.p50_s is not None and here.p50_s >= SLOWER * before.p50_s)
    return here.per_s <= ALIKE * before.per_s and (grew or here.errors > FAILED)

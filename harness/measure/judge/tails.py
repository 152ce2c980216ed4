"""The tail that cases are compared by. Pure.

Arrivals are compared by latency from due time. In a backlog that is about the makespan, so service time is used.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.measure.judge.comparison import PAIRS_MIN
from harness.measure.result import Case, Quantile

_TAILS = ("p99", "p95", "p90", "p50")


def common_tail(cases: Sequence[Case], backlog: bool) -> str | None:
    """The highest percentile that every case has, and that is rough in none; else the highest that every case has.

    Where repeats can be tested, all repeats must have it.
    """
    found = [name for name in _TAILS if all(_has(case, name, backlog) for case in cases)]
    sure = [name for name in found if not any(_spread(case, backlog, name).rough for case in cases)]
    return next(iter(sure or found), None)


def _has(case: Case, name: str, backlog: bool) -> bool:
    repeats = [one for one in case.by_repeat if one.ok] if len(case.by_repeat) >= PAIRS_MIN else []
    points = [one.service_time_s if backlog else one.latency_s for one in repeats]
    return tail_of(case, name, backlog) is not None and all(getattr(one, name) is not None for one in points)


def tail_of(case: Case, name: str | None, backlog: bool) -> float | None:
    """A percentile of a case, in seconds."""
    return _spread(case, backlog, name or "p50").value


def _spread(case: Case, backlog: bool, name: str) -> Quantile:
    found: Quantile = getattr(case.service_time_s if backlog else case.latency_s, name)
    return found


def tail_words(name: str, backlog: bool) -> str:
    """`p99 of service time`."""
    return f"{name} of {'service time' if backlog else 'latency from due time'}"

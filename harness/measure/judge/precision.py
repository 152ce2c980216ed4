"""When automatic repeats end: every interval is narrow, or a budget is spent. Pure.

Rules of this file
  1. The figures of a case are its throughput, its median and its highest percentile up to p99: of latency under
     arrivals, of service time on a backlog.
  2. An interval without an end is not narrow. A case without a success has no figure, and holds up no other case.
  3. A rule that looks at intervals stops at those that are narrow by chance: of 95 % intervals 93 % contain the truth
     (docs/measuring.md). Therefore the first look is after 8 repeats, and all intervals of such a run are wider by a
     tenth (`statistics.WIDENED`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from harness.base import units
from harness.measure.precision_result import Ended, Precision, PrecisionPlan
from harness.measure.result import Case, Reason

_TAILS = ("p99", "p95", "p90")
"""Not p99.9: it would come in when the repeats together have enough requests, and ask for many more."""


def ended(asked: PrecisionPlan, repeats: int, spent_s: float, cases: Sequence[Case]) -> Ended | None:
    """Why no repeat follows after `repeats` of each case, which took `spent_s` seconds of load; None if one does."""
    if repeats >= asked.least and is_narrow(asked, cases):
        return "narrow"
    if repeats >= asked.most:
        return "repeats"
    return "time" if repeats and spent_s * (repeats + 1) / repeats > asked.budget_s else None


def is_narrow(asked: PrecisionPlan, cases: Sequence[Case]) -> bool:
    """Whether every interval is as narrow as asked for."""
    return all(width <= asked.width for case in cases for _, width in widths(case))


def widths(case: Case) -> Iterator[tuple[str, float]]:
    """Each figure of a case with the distance of its interval's farther end, as a share; infinite without an end."""
    if not case.counts.ok:
        return
    speed = case.rates_per_s
    yield "throughput", _width(speed.completed, speed.completed_low, speed.completed_high)
    backlog = case.load.kind == "backlog"
    spread = case.service_time_s if backlog else case.latency_s
    tail = next((name for name in _TAILS if getattr(spread, name).value is not None), None)
    for name in filter(None, ("p50", tail)):
        found = getattr(spread, name)
        if found.value is not None:
            of = "service time" if backlog else "latency"
            yield f"{name.replace('_', '.')} of {of}", _width(found.value, found.low, found.high)


def _width(value: float | None, low: float | None, high: float | None) -> float:
    if not value or low is None or high is None:
        return math.inf
    return max(value - low, high - value) / value


def outcome(asked: PrecisionPlan, cases: Sequence[Case]) -> Precision:
    """The precision that the repeats of a finished run reached."""
    repeats = min((case.repeats for case in cases), default=0)
    spent_s = sum(one.makespan_s or 0.0 for case in cases for one in case.by_repeat)
    found = [(width, case.name, figure) for case in cases for figure, width in widths(case)]
    why = ended(asked, repeats, spent_s, cases) or "stopped"
    if not found:
        return Precision(asked.width, repeats, why)
    width, case, figure = max(found)
    return Precision(asked.width, repeats, why, case, figure, width if math.isfinite(width) else None)


def words(found: Precision) -> str:
    """How many repeats were played, why no more, and the widest interval."""
    cause = {
        "narrow": f"then every judged interval was within ±{units.share(found.width)}",
        "repeats": "the most that are allowed",
        "time": "then the time was spent",
        "stopped": "then the run was stopped",
    }[found.ended]
    return " ".join(filter(None, [f"Repeats: {found.repeats}, {cause}.", _widest(found)]))


def _widest(found: Precision) -> str:
    if found.figure is None:
        return ""
    what = f"The widest judged interval is that of {found.figure} of {found.case}"
    return f"{what}: ±{units.share(found.widest)}." if found.widest is not None else f"{what}: it has an open end."


def reasons(found: Precision | None) -> list[Reason]:
    """A reason for the verdict if a budget was spent before the intervals were narrow."""
    if found is None or found.ended not in {"repeats", "time"}:
        return []
    option = "--repeats-max" if found.ended == "repeats" else "--repeats-budget"
    text = (
        f"Intervals within ±{units.share(found.width)} were asked for and not reached in {found.repeats} repeats. "
        f"Raise {option}, make each repeat longer, or accept wider intervals."
    )
    return [Reason("wide", text)]

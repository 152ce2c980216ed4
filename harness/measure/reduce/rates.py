"""The rates of a case with their intervals, from the figures of its repeats. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measure.reduce.statistics import interval
from harness.measure.repeat_figures import RepeatFigures
from harness.measure.result import Rates


def rates(
    scheduled: float | None, span_s: float | None, sent: int, repeats: Sequence[RepeatFigures], factor: float = 1.0
) -> Rates:
    """Rates over all repeats together; intervals come from the rates of each repeat.

    `sent` is over the makespans, `completed` and `goodput` over what follows the warm-ups.

    Args:
        scheduled: Arrivals of the schedule, of several the mean; None for a backlog.
        span_s: Length of the schedule.
        sent: Items sent, over all repeats.
        repeats: The figures of each repeat. One without a row has no makespan and is left out.
        factor: Widens the intervals.
    """
    filled = [one for one in repeats if one.makespan_s]
    makespans_s = sum(one.makespan_s or 0.0 for one in filled)
    if makespans_s <= 0:
        return Rates()
    counted_s = makespans_s - sum(one.warmup_s for one in filled)
    completed = sum(one.ok - one.ok_in_warmup for one in filled) / counted_s if counted_s > 0 else None
    goodput = sum(one.good for one in filled) / counted_s if counted_s > 0 else None
    completed_low, completed_high = interval(completed, [one.completed_per_s for one in filled], factor)
    goodput_low, goodput_high = interval(goodput, [one.goodput_per_s for one in filled], factor)
    return Rates(
        offered=scheduled / span_s if scheduled and span_s else None,
        sent=sent / makespans_s,
        completed=completed,
        goodput=goodput,
        completed_low=completed_low,
        completed_high=completed_high,
        goodput_low=goodput_low,
        goodput_high=goodput_high,
    )

"""The capacity of a server according to a stored run, as intervals: of a capacity search, or of a sweep. Pure.

Of a sweep by rate it is the knee: the highest rate that the server kept up with, and the next level. By concurrency it
is the highest goodput, with its interval over the repeats: a knee at another concurrency is no loss by itself. Under an
SLO it is, of both, the highest level that holds it and the lowest that fails it.
"""

from __future__ import annotations

from typing import NamedTuple

from harness.measure.capacity_result import Capacity
from harness.measure.result import RunResult
from harness.measure.sweep_result import SweepResult

PER_S, IN_FLIGHT = "/s", " in flight"
NARROWER = "search with a smaller --width, or raise the limit"
FINER = "sweep with more levels or repeats, or raise the limit"


class CapacityInterval(NamedTuple):
    """An interval that contains the capacity; an end that is not known is None."""

    low: float | None
    high: float | None
    unit: str
    confirmed: bool  # whether a failure may rest on the lower end
    unconfirmed: str  # why not
    advice: str  # what makes it narrower
    measured: bool = True


Key = tuple[str, str]
"""Name of the quantity, and the SLO or the kind of run that it belongs to."""


def bounds_of(result: RunResult) -> dict[Key, CapacityInterval]:
    """Every capacity of a run; empty if it is neither a capacity search nor a sweep."""
    if result.capacity is not None:
        return {(f"capacity by {one.by}", one.slo): _of_search(one) for one in result.capacity.answers}
    return {} if result.sweep is None else _of_sweep(result.sweep)


def _of_search(answer: Capacity) -> CapacityInterval:
    unit = PER_S if answer.by == "rate" else IN_FLIGHT
    measured = answer.ended != "invalid" and (answer.low, answer.high) != (None, None)
    return CapacityInterval(
        answer.low,
        answer.high,
        unit,
        answer.confirmed,
        "the baseline has no long run (--confirm)",
        "a search ended at its highest load (--highest)" if answer.high is None else NARROWER,
        measured,
    )


def _of_sweep(sweep: SweepResult) -> dict[Key, CapacityInterval]:
    kept = [point for point in sweep.points if point.left_out is None]
    unit = PER_S if sweep.by == "rate" else IN_FLIGHT
    repeated = bool(kept) and min(point.repeats for point in kept) > 1
    advice = "a sweep ended at its highest level" if sweep.edge == "highest" else FINER

    def bound(low: float | None, high: float | None, unit: str, measured: bool) -> CapacityInterval:
        return CapacityInterval(
            low, high, unit, repeated, "the baseline has one repeat a level (--repeats)", advice, measured
        )

    found: dict[Key, CapacityInterval] = {}
    if sweep.by == "rate":
        above = [point.level for point in kept if sweep.knee is None or point.level > sweep.knee]
        found["knee by rate", "sweep"] = bound(sweep.knee, min(above, default=None), unit, bool(kept))
    else:
        best = next((point.goodput_per_s for point in kept if point.level == sweep.best), None)
        ends = (None, None) if best is None else (best.low, best.high)
        found["highest goodput", "sweep"] = bound(*ends, PER_S, best is not None)
    if sweep.slo is not None:
        ends = (sweep.capacity, sweep.fails_from)
        found[f"capacity by {sweep.by}", sweep.slo] = bound(*ends, unit, ends != (None, None))
    return found

"""Drift within a case: a rank test of latency over time, and its size. Pure.

Rules of this file
  1. The requests of each repeat are ranked, and the ranks averaged over blocks in order of time, and over repeats. The
     test is that of a correlation between block and mean rank.
  2. Neighbouring blocks are alike, as are their requests. The degrees of freedom are those of so many independent
     blocks (from the correlation of neighbours once the trend is removed), else a busy queue would drift every time.
  3. Latency is tested under arrivals at a steady rate, service time there and on a backlog, if the number in flight was
     steady: not for a limit that changed, nor where everything was sent at once.
  4. The significance level is 1 %. A drift of less than 5 % of the median is not reported: a long run finds any.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.measure.record.plan import PlanCase
from harness.measure.reduce import columns
from harness.measure.reduce.column_rows import in_order
from harness.measure.reduce.columns import Repeat
from harness.measure.reduce.statistics import t995
from harness.measure.reduce.timeline import in_flight
from harness.measure.reduce.warmup import STATIONARY
from harness.measure.result import Drift

Array = np.ndarray[Any, np.dtype[Any]]

BLOCKS = 40
REQUESTS_LEAST = 200
INDEPENDENT_LEAST = 6.0
CHANGE_LEAST = 0.05


def drifts(plan: PlanCase, repeats: Sequence[Repeat]) -> dict[str, Any]:
    """The drifts of a case, by field of the result. The repeats are without their warm-up."""
    if plan.load.name in STATIONARY:
        late = drift([in_order(ok["due"], columns.latency(ok)) for ok in (repeat.ok() for repeat in repeats)])
        return {"latency_drift": late, "service_drift": drift([_service(repeat) for repeat in repeats])}
    if plan.is_backlog and all(_level(repeat) for repeat in repeats):
        return {"service_drift": drift([_between(repeat) for repeat in repeats])}
    return {}


def _service(repeat: Repeat) -> Array:
    """Service times in order of sending."""
    ok = repeat.ok()
    wired = columns.chosen(ok, columns.was_sent(ok))
    return in_order(wired["sent"], columns.service_time(wired))


def _level(repeat: Repeat) -> bool:
    """Whether the client kept about as many in flight all the time."""
    limits = [ticks["limit"][~np.isnan(ticks["limit"])] for ticks in (one.timeline for one in repeat.processes)]
    sent = repeat.rows["sent"][columns.was_sent(repeat.rows)]
    spread = len(sent) > 0 and float(np.median(sent)) > repeat.makespan_ns / 4
    return spread and all(len(np.unique(limit)) <= 1 for limit in limits)


def _between(repeat: Repeat) -> Array:
    """Service times without those of the start and the end, when fewer were in flight."""
    peak = in_flight(*columns.exchanges(repeat), repeat.makespan_ns).max or 0
    values = _service(repeat)
    return values[peak : len(values) - peak]


def drift(repeats: Sequence[Array]) -> Drift | None:
    """The drift of values in order of time, one array for each repeat; None if there is none, or too little to tell."""
    if not repeats or min(map(len, repeats)) < REQUESTS_LEAST:
        return None
    first, last = (_median(repeats, part) for part in (0, 2))
    if not first or abs(last / first - 1) < CHANGE_LEAST or not is_trend(_blocks(repeats)):
        return None
    return Drift(first / 1e9, last / 1e9)


def is_trend(blocks: Array) -> bool:
    """Whether mean ranks of blocks rise or fall by more than chance explains."""
    n = len(blocks)
    place, ranks = np.arange(n) - (n - 1) / 2, blocks - blocks.mean()
    total = float(ranks @ ranks)
    if total <= 0:
        return False
    slope = float(place @ ranks) / float(place @ place)
    correlation = slope * math.sqrt(float(place @ place) / total)
    rest = ranks - slope * place
    if (left := float(rest @ rest)) <= 1e-12 * total:
        return True
    neighbours = float(rest[1:] @ rest[:-1]) / left
    # The correlation of neighbours is estimated too low in a short series (Kendall 1954).
    neighbours = min(max(neighbours + (1 + 3 * neighbours) / n, 0.0), 0.95)
    independent = n * (1 - neighbours) / (1 + neighbours)
    if independent < INDEPENDENT_LEAST:
        return False
    degrees = independent - 2
    return abs(correlation) * math.sqrt(degrees / (1 - correlation**2)) > t995(degrees)


def _blocks(repeats: Sequence[Array]) -> Array:
    """The mean rank of each block, between 0 and 1, averaged over repeats."""
    found = []
    for values in repeats:
        size = len(values) // BLOCKS
        kept = values[: size * BLOCKS]
        ordered = np.sort(kept)
        found.append([_mean_rank(block, ordered) for block in kept.reshape(BLOCKS, size)])
    averaged: Array = np.mean(found, axis=0)
    return averaged


def _mean_rank(block: Array, ordered: Array) -> float:
    """The mean rank of a block among all values, between 0 and 1; equal values share the mean of their ranks."""
    block = np.sort(block)
    first, last = (float(np.searchsorted(ordered, block, side).mean()) for side in ("left", "right"))
    return (first + last + 1) / 2 / len(ordered)


def _median(repeats: Sequence[Array], part: int) -> float:
    """The median of a third of every repeat."""
    thirds = [values[len(values) * part // 3 : len(values) * (part + 1) // 3] for values in repeats]
    return float(np.median(np.concatenate(thirds)))

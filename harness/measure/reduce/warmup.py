"""The warm-up of a case: a fixed time that never counts, and what MSER-5 removes beyond it. Pure.

MSER-5 (White 1997; Hoad and Robinson 2011) cuts a series of batch means where the standard error of the mean of the
rest is least. The series are medians of the latency of a few neighbouring requests, and their throughput.

Rules of this file
  1. Medians, because one outlier in the middle of a series of raw latencies moves the cut there.
  2. Repeats are averaged before the cut is sought, so that all of them have the same.
  3. A cut counts only if the removed part differs from the rest by more than chance explains. Without this rule MSER-5
     finds a warm-up in a fifth of short stationary runs.
  4. A cut beyond the half of the run is none: the run has not settled, and only the fixed time is removed. There the
     test counts neighbouring batches by their correlation, which a busy queue has without ever changing.
  5. A run whose answers fell behind its arrivals has not settled either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from harness.measure.record.plan import PlanCase
from harness.measure.reduce.columns import Repeat, latency
from harness.measure.reduce.effective_n import effective_n
from harness.measure.result import Warmup

Array = np.ndarray[Any, np.dtype[Any]]

STATIONARY = {"constant", "poisson"}
"""Loads in which every part is like every other, once the system has settled."""
BATCH = 5
BATCHES_LEAST = 20
BATCHES_MOST = 100
SLICE_LEAST = 3
"""Requests of a slice; five slices are a batch."""
ALMOST = 1.05
SURE = 4.0
"""Standard errors by which the removed part must differ from the rest."""
BEHIND = 2.5
"""Standard errors by which answers must be slower than arrivals for a queue that grows."""
PARAMETERS = 4
"""Of a fit: two levels, the place between them, and the choice between levels and line."""
INDEPENDENT_LEAST = 4
"""Fewer independent batches do not tell a change from a busy queue."""


class Cut(NamedTuple):
    """Where the counted part begins, and whether the series has settled; None if there is too little to tell."""

    begins_ns: int
    settled: bool | None


def cut(repeats: Sequence[tuple[Array, Array]], floor_ns: int) -> Cut:
    """The warm-up of repeats, each given as (due, latency) of its successes in order of due."""
    counted = [(due[at:], late[at:]) for due, late in repeats for at in [np.searchsorted(due, floor_ns)]]
    slices = _slices(min((len(due) for due, _ in counted), default=0))
    if not slices:
        return Cut(floor_ns, None)
    begins, settled = floor_ns, True
    for series in (_latency, _throughput):
        means = np.mean([series(due, late, slices) for due, late in counted], axis=0)
        batches = means.reshape(-1, BATCH).mean(axis=1)
        last = mser(batches)
        place = mser(batches, len(batches) // 2)
        if not _differs(batches, place):
            place = 0
        if last > len(batches) // 2 and _changes(batches[place:], last - place):
            settled = False
        elif place:
            begins = max(begins, *(int(due[place * BATCH * (len(due) // slices)]) for due, _ in counted))
    # Fixed time and cut together leave half of the arrivals at least.
    settled = (
        settled
        and not _falls_behind(counted, slices)
        and (begins == floor_ns or begins <= max(int(due[-1]) for due, _ in counted) // 2)
    )
    return Cut(begins if settled else floor_ns, settled)


def warmup_of(plan: PlanCase, repeats: Sequence[Repeat]) -> Warmup | None:
    """The warm-up of a case; None if everything counts."""
    if plan.warmup_s is None or not repeats:
        return None
    floor_ns = round(plan.warmup_s * 1e9)
    series = [_series(repeat) for repeat in repeats]
    found = cut(series, floor_ns) if plan.load.name in STATIONARY else Cut(floor_ns, None)
    removed = np.concatenate([late[: np.searchsorted(due, found.begins_ns)] for due, late in series])
    median = float(np.median(removed)) / 1e9 if len(removed) else None
    return Warmup(plan.warmup_s, found.begins_ns / 1e9, len(removed), median, found.settled)


def _series(repeat: Repeat) -> tuple[Array, Array]:
    """Due and latency of the successes, in order of due."""
    ok = repeat.ok()
    late, due = latency(ok), ok["due"]
    order = np.argsort(due, kind="stable")
    late = late[order]
    return due[order], late


def mser(batches: Array, most: int | None = None) -> int:
    """The number of batches to cut, at most `most`: where the standard error of the mean of the rest is least.

    Once it has settled the error hardly changes, so the first place counts that is almost as good as the best.
    """
    n = len(batches)
    rest = np.arange(n, 0, -1)
    sums, squares = (np.cumsum(values[::-1])[::-1] for values in (batches, batches**2))
    # The last batches are too few for a standard error.
    last = min(n - BATCH, n if most is None else most + 1)
    errors = (squares - sums**2 / rest)[:last] / rest[:last] ** 2
    return int(np.argmax(errors <= ALMOST * errors.min()))


def _slices(requests: int) -> int:
    """The number of slices: a multiple of BATCH, or 0 if there are too few requests."""
    batches = min(requests // (BATCH * SLICE_LEAST), BATCHES_MOST)
    return batches * BATCH if batches >= BATCHES_LEAST else 0


def _latency(due: Array, late: Array, slices: int) -> Array:
    """Logarithm of the median latency of each slice of requests."""
    size = len(late) // slices
    medians: Array = np.log(np.maximum(np.median(late[: size * slices].reshape(slices, size), axis=1), 1.0))
    return medians


def _throughput(due: Array, late: Array, slices: int) -> Array:
    """Logarithm of the time that each slice of answers took, with the arrivals' own rhythm removed."""
    took, asked = _spans(due + late, slices), _spans(due, slices)
    ratio = np.log(np.maximum(took, 1.0)) - np.log(np.maximum(asked, 1.0))
    series: Array = np.concatenate([ratio, ratio[-1:]])
    return series


def _spans(instants: Array, slices: int) -> Array:
    """The time of each slice but the last."""
    edges = np.arange(1, slices) * (len(instants) // slices)
    spans: Array = np.diff(np.sort(instants)[edges], prepend=instants.min())
    return spans


def _falls_behind(repeats: Sequence[tuple[Array, Array]], slices: int) -> bool:
    """Whether slices of answers took longer than those of arrivals, by more than chance explains: a queue grew.

    In a steady queue a slice that takes longer is followed by shorter ones, so that chance is overestimated here.
    """
    longer = np.mean([_spans(due + late, slices) - _spans(due, slices) for due, late in repeats], axis=0)
    growth, error = float(longer.sum()), float(np.std(longer, ddof=1)) * math.sqrt(len(longer))
    return growth > max(BEHIND * error, float(np.mean([np.median(late) for _, late in repeats])) / 2)


def _differs(batches: Array, place: int) -> bool:
    """Whether the mean of the first batches differs from that of the rest by more than chance explains."""
    if not place:
        return False
    rest = batches[place:]
    independent = (effective_n([rest]) or len(rest)) / len(rest)
    error = float(np.std(rest, ddof=1)) * math.sqrt((1 / place + 1 / len(rest)) / independent)
    difference = abs(float(batches[:place].mean() - rest.mean()))
    return _deviation(difference / error, independent * len(rest) - 1) > SURE if error > 0 else difference > 0


def _changes(batches: Array, place: int) -> bool:
    """Whether the first batches differ from the rest, where the cut was sought in the whole series.

    The correlation of neighbours is that of the rest of the best fit: two levels, or a straight line.
    """
    n = len(batches)
    left = min((_around_levels(batches), _around_line(batches)), key=lambda rest: float(rest @ rest))
    if (squares := float(left @ left)) <= 0:
        return bool(np.ptp(batches) > 0)
    neighbours = float(left[1:] @ left[:-1]) / squares
    # It is estimated too low in a short series (Kendall 1954), by as much again for each fitted parameter.
    neighbours = min(max(neighbours + (PARAMETERS + 3 * neighbours) / n, 0.0), 0.97)
    alike = (1 + neighbours) / (1 - neighbours)
    if n / alike < INDEPENDENT_LEAST:
        return False
    error = math.sqrt(squares / max(n - 2 * alike, 1.0) * (1 / place + 1 / (n - place)) * alike)
    return _deviation(abs(float(batches[:place].mean() - batches[place:].mean())) / error, n / alike - 2) > SURE


def _around_levels(batches: Array) -> Array:
    """What two levels leave, with the change at the best place."""
    n = len(batches)
    sums, counts = np.cumsum(batches)[1:-2], np.arange(2, n - 1)
    gains = sums**2 / counts + (batches.sum() - sums) ** 2 / (n - counts)
    at = int(counts[np.argmax(gains)])
    return np.concatenate([batches[:at] - batches[:at].mean(), batches[at:] - batches[at:].mean()])


def _around_line(batches: Array) -> Array:
    """The residuals of a straight line."""
    place = np.arange(len(batches)) - (len(batches) - 1) / 2
    rest: Array = batches - batches.mean() - place * float(place @ batches) / float(place @ place)
    return rest


def _deviation(t: float, degrees: float) -> float:
    """The standard deviations of a normal law that are as rare as Student's t (Wallace 1959).

    A short rest says little about its own spread, and it was chosen because its spread is small.
    """
    degrees = max(degrees, 1.0)
    return (8 * degrees + 1) / (8 * degrees + 3) * math.sqrt(degrees * math.log1p(t * t / degrees))

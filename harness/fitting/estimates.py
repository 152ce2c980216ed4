"""From a calibration to the parameters of a server, with what the records determine and what they do not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.fitting.calibration import Calibration
from harness.fitting.generation import StreamLaw, stream_law, streaming_at_once
from harness.fitting.inversion import Law, Structure, Units, grouped, law, units_of, waiting
from harness.fitting.refusals import Refusals, refusals
from harness.fitting.residuals import cv_of, jitter_of
from harness.fitting.seen import Seen
from mock_server.jitter import Jitter

PADS = (1, 8, 16, 32, 64)
WORKERS_MAX = 64
SURE = 0.03
"""A parameter is determined if its standard error is at most this share of it."""
_SIMPLER = 1.02
"""A simpler structure is kept if its spread is at most this many times the least."""
_NEGLIGIBLE = 0.005
"""A term below this share of the mean service time is left out."""


@dataclass(frozen=True)
class Estimate:
    """One parameter. `error` is its standard error; `note` says why it is not determined."""

    name: str
    value: float
    error: float | None = None
    note: str = ""

    @property
    def determined(self) -> bool:
        """Whether the loads determine it."""
        return not self.note


@dataclass(frozen=True)
class Fixed:
    """What the user knows and the fit must not change."""

    workers: int | None = None
    batch_items: int | None = None


@dataclass(frozen=True)
class Fit:
    """The parameters of a server."""

    structure: Structure
    law: Law | None
    jitter: Jitter | None
    streams: StreamLaw | None
    stream_jitters: tuple[Jitter, Jitter] | None
    refusals: Refusals
    estimates: tuple[Estimate, ...]
    # Other structures that explain the records as well.
    alternatives: tuple[Structure, ...] = ()
    overhead_tokens: float = 0.0


def fit(calibration: Calibration, tolerance_s: float, fixed: Fixed | None = None) -> Fit:
    """The parameters that explain a calibration. `tolerance_s`: answers of one batch come at most this far apart."""
    assert calibration.burst is not None  # noqa: S101 - a calibration has one
    bounds = refusals(calibration.burst, calibration.arrivals, [calibration.idle, *calibration.closed])  # type: ignore[list-item]
    loads = [seen for seen in (_usable(one) for one in calibration.all) if len(seen) >= 2]
    if loads[0].shapes[0].output:
        return _of_streams(loads, bounds)
    return _of_batches(loads, bounds, tolerance_s, fixed or Fixed())


def _usable(seen: Seen) -> Seen:
    """Answered requests; of a closed loop only those before the first refusal."""
    part = seen.before_refusals() if 0 < seen.concurrency < 64 else seen
    return part.part(part.ok)


def _of_batches(loads: Sequence[Seen], bounds: Refusals, tolerance_s: float, fixed: Fixed) -> Fit:
    found: list[tuple[float, Structure, Law]] = []
    for structure in _structures(loads, tolerance_s, fixed):
        units = [units_of(seen, structure, tolerance_s) for seen in loads]
        fitted = law(units, structure)
        if structure.lingers and fitted.values["linger_s"] == 0:
            continue
        if structure.batch_items > 1 and structure.workers and not _batches(units, structure, fitted):
            continue
        found.append((fitted.spread, structure, fitted))
    least = min(spread for spread, _, _ in found)
    near = [one for one in found if one[0] <= least * _SIMPLER + 1e-4]
    _, structure, _ = min(near, key=lambda one: _complexity(one[1]))
    structure, fitted = _padded(loads, structure, tolerance_s)
    jitter = jitter_of(fitted.ratios)
    others = tuple(one for _, one, _ in near if one != replace(structure, pad_multiple=1))
    made = Fit(structure, fitted, jitter, None, None, bounds, (), others)
    return replace(made, estimates=tuple(_batch_estimates(made, loads)))


def _batches(units: Sequence[Units], structure: Structure, fitted: Law) -> bool:
    """Whether batches that left others waiting had more than one item: answers may come together by chance."""
    left = [one.items[waiting(one, structure, fitted.values["overhead_s"])] for one in units]
    sizes = np.concatenate(left)
    return not len(sizes) or float((sizes > 1).mean()) >= 0.5


def _complexity(structure: Structure) -> tuple[int, int, int]:
    # A server without a bound is the simplest: nothing waits in it.
    return (structure.lingers, structure.batch_items, structure.workers)


def _structures(loads: Sequence[Seen], tolerance_s: float, fixed: Fixed) -> list[Structure]:
    """The structures that may explain the loads."""
    sizes = {1, _batch_items(loads, tolerance_s)} if fixed.batch_items is None else {fixed.batch_items}
    found = []
    for size in sorted(sizes):
        for workers in _workers(loads, size, tolerance_s) if fixed.workers is None else [fixed.workers]:
            found.append(Structure(workers, size))
            if size > 1 and workers:
                found.append(Structure(workers, size, lingers=True))
    return found


def _batch_items(loads: Sequence[Seen], tolerance_s: float) -> int:
    """The most items that were answered together in several batches."""
    wide = Structure(batch_items=1 << 20)
    sizes: list[int] = []
    for seen in loads:
        sizes += [
            sum(seen.shapes[place].items for place in group) for group in grouped(seen, wide, tolerance_s)
        ]
    counts = np.bincount(sizes)
    often = np.flatnonzero(counts >= 3)
    return int(often.max()) if len(often) else 1


def _workers(loads: Sequence[Seen], size: int, tolerance_s: float) -> list[int]:
    """Numbers of workers near what Little's law gives for batches alone and for the busiest load."""
    structure = Structure(batch_items=size)
    idle_s = float(np.median(loads[0].latency))
    rates = []
    for seen in loads:
        units = units_of(seen, structure, tolerance_s)
        if len(units.done) > 3:
            rates.append(len(units.done) / float(units.done.max() - units.oldest.min()))
    near = max(rates) * idle_s
    low, high = max(1, math.floor(near * 0.5)), min(WORKERS_MAX, math.ceil(near * 1.6) + 1)
    found = list(range(low, high + 1)) if high - low < 12 else sorted({round(low * (high / low) ** (k / 11)) for k in range(12)})
    return sorted({1, 2, *found}) + [0]


def _padded(loads: Sequence[Seen], structure: Structure, tolerance_s: float) -> tuple[Structure, Law]:
    """The padding with the least spread; the finest of those that are as good."""
    units = [units_of(seen, structure, tolerance_s) for seen in loads]
    tried = [(replace(structure, pad_multiple=pad), law(units, replace(structure, pad_multiple=pad))) for pad in PADS]
    least = min(one.spread for _, one in tried)
    return next((one, found) for one, found in tried if found.spread <= least + 1e-9)


def _batch_estimates(made: Fit, loads: Sequence[Seen]) -> list[Estimate]:
    assert made.law is not None  # noqa: S101 - of batches
    found, structure = made.law, made.structure
    mean_s = float(np.mean(np.concatenate([seen.latency for seen in loads[:1]])))
    estimates = []
    for name, value in found.values.items():
        if name not in found.terms:
            continue
        error = found.errors[name]
        small = value + 2 * error < _NEGLIGIBLE * mean_s / _size_of(name, made, loads)
        unsure = not small and error > SURE * max(value, 1e-12)
        estimates.append(Estimate(name, value, error, "its interval is wide" if unsure else ""))
    if "per_item_s" not in found.terms:
        estimates.append(Estimate("per_item_s", 0.0, None, "all batches have the same size: it is part of base_s"))
    if "per_token_s" not in found.terms:
        estimates.append(Estimate("per_token_s", 0.0, None, "all requests have the same length: it is part of base_s"))
    unsure = "" if not made.alternatives else "the records fit as well with " + made.alternatives[0].text
    most = made.refusals.in_flight_seen
    if not structure.workers:
        unsure = f"bounded below: nothing waited, with up to {most} requests in flight"
    estimates.append(Estimate("workers", structure.workers, None, unsure))
    estimates.append(Estimate("batch_max_items", structure.batch_items, None, unsure))
    if found.values["per_token_s"] > 0:
        estimates.append(Estimate("pad_multiple", structure.pad_multiple))
    assert made.jitter is not None  # noqa: S101 - of batches
    cv = cv_of(made.jitter)
    estimates.append(Estimate("cv", cv, cv / math.sqrt(2 * len(found.ratios))))
    return [*estimates, *_bound_estimates(made.refusals, structure.workers)]


def _size_of(name: str, made: Fit, loads: Sequence[Seen]) -> float:
    """A typical factor of a term, to see what it adds to a latency."""
    longest = float(np.mean([shape.longest for shape in loads[0].shapes]))
    return {"per_token_s": longest, "per_square_s": longest**2}.get(name, 1.0)


def _bound_estimates(bounds: Refusals, workers: int) -> list[Estimate]:
    if bounds.rate_per_s is not None:
        found = [Estimate("rate_per_s", bounds.rate_per_s)]
        if bounds.burst is not None:
            found.append(Estimate("burst", bounds.burst))
        return found
    if bounds.in_flight is not None:
        name = "in_flight" if bounds.status == 429 else "queue_max"
        value = bounds.in_flight if bounds.status == 429 else bounds.in_flight - workers
        return [Estimate(name, value)]
    return [Estimate("in_flight", bounds.in_flight_seen, None, "bounded below: nothing was refused")]


def _of_streams(loads: Sequence[Seen], bounds: Refusals) -> Fit:
    most = max(streaming_at_once(seen) for seen in loads)
    candidates = sorted({0, *range(most, most + 3)})
    laws = [stream_law(loads, slots) for slots in candidates]
    least = min(one.spread for one in laws)
    found = next(one for one in sorted(laws, key=lambda one: one.slots or 1 << 20) if one.spread <= least * _SIMPLER + 1e-4)
    jitters = jitter_of(found.first_ratios), jitter_of(found.next_ratios)
    estimates = [
        Estimate(name, found.values[name], found.errors[name],
                 "its interval is wide" if found.errors[name] > SURE * max(found.values[name], 1e-12) else "")
        for name in found.terms
    ]  # fmt: skip
    for name, jitter, ratios in (("ttft_cv", jitters[0], found.first_ratios), ("itl_cv", jitters[1], found.next_ratios)):
        estimates.append(Estimate(name, cv_of(jitter), cv_of(jitter) / math.sqrt(2 * max(1, len(ratios)))))
    unbounded = "" if found.slots else f"bounded below: {most} sequences ran at once, and none waited"
    estimates.append(Estimate("running_max", found.slots or most, None, unbounded))
    return Fit(
        Structure(workers=0), None, None, found, jitters, bounds, (*estimates, *_bound_estimates(bounds, found.slots))
    )

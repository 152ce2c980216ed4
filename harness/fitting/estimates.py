"""From a calibration to the parameters of a server, with what the records determine and what they do not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from harness.fitting import white_box
from harness.fitting.batch_units import Structure, Units, grouped, padded, units_of
from harness.fitting.calibration import Calibration
from harness.fitting.fitted_parameters import (
    SURE,
    Estimate,
    Fit,
    KnownParameters,
    NotFitted,
    batch_estimates,
    bound_estimates,
)
from harness.fitting.generation import stream_law, streaming_at_once
from harness.fitting.inversion import Law, law, waiting
from harness.fitting.refusal_bounds import Refusals, refusals, with_pause, with_waits
from harness.fitting.residuals import cv_of, jitter_of
from harness.fitting.seen import Floats, Seen

PADS = (1, 8, 16, 32, 64)
WORKERS_MAX = 64
UNBOUNDED = 64
"""So many batches at once mean that nothing waits."""
_SIMPLER = 1.02
"""A simpler structure is kept if its spread is at most this many times the least."""
_NEAR = 1.7
"""Structures with a spread of at most this many times the least are worth a simulation."""
_LONGER = 0.97
"""Further terms are taken if they lessen the spread to this share."""
_LINGER_MIN = 0.02
"""A shorter share of the latency of a request alone is no linger time."""
_SHORT = 700
"""Requests of each load by which structures are distinguished."""
LONE_MIN = 2
"""Fewest answers to lone requests, and of any load that counts."""
_MOST = 6
"""Most structures that are simulated."""
_ALIKE = 0.08
"""Residuals of lone requests and of all differ by less than this share if only the server makes them."""


def fits(calibration: Calibration, tolerance_s: float, fixed: KnownParameters | None = None) -> list[Fit]:
    """The sets of parameters that may explain a calibration, the likeliest first.

    `tolerance_s`: answers of one batch come at most this far apart. Raises NotFitted if `fixed` explains nothing.
    """
    fixed = fixed or KnownParameters()
    assert calibration.burst is not None  # noqa: S101 - a calibration has one
    bounds = refusals(calibration.burst, calibration.arrivals, [one for one in calibration.all if one.concurrency])
    bounds = with_waits(bounds, calibration.retry_after_s)
    before = [one for one in (*calibration.closed, calibration.burst) if one is not None]
    bounds = with_pause(bounds, before, calibration.pause_s)
    # The first is the idle load, without which there is no fit.
    loads = [seen for seen in (_usable(one) for one in calibration.all) if len(seen) >= LONE_MIN]
    if loads[0].shapes[0].output:
        return [_of_streams(loads, bounds, fixed)]
    if calibration.batches:
        return [of_log(calibration, bounds, fixed)]
    return _of_batches(loads, bounds, tolerance_s, fixed)


def fit(calibration: Calibration, tolerance_s: float, fixed: KnownParameters | None = None) -> Fit:
    """The likeliest parameters, by the spread of the service times alone."""
    found = fits(calibration, tolerance_s, fixed)
    return with_alternatives(found[0], [one.structure for one in found[1:] if _as_good(one, found[0])])


def _as_good(one: Fit, best: Fit) -> bool:
    assert one.law is not None  # noqa: S101 - streams have no alternatives
    assert best.law is not None  # noqa: S101 - as above
    return one.law.spread <= best.law.spread * _SIMPLER + 1e-4


def _usable(seen: Seen) -> Seen:
    """Answered requests; of a closed loop only those before the first refusal, unless they are alone in any case."""
    part = seen.before_refusals() if 1 < seen.concurrency < 64 else seen
    streams = len(part) and part.shapes[0].output
    # An answer without any token says nothing of the first one.
    return part.part(part.ok & (part.chunks > 0) if streams else part.ok)


def _of_batches(loads: Sequence[Seen], bounds: Refusals, tolerance_s: float, fixed: KnownParameters) -> list[Fit]:
    found: list[tuple[Structure, Law]] = []
    # The beginning of each load distinguishes structures.
    short = [seen.part(slice(0, _SHORT)) for seen in loads]
    for structure in _structures(loads, tolerance_s, fixed):
        units = [units_of(seen, structure, tolerance_s) for seen in short]
        fitted = law(units, structure)
        if structure.lingers and fitted.values["linger_s"] < _LINGER_MIN * float(np.median(loads[0].latency)):
            continue
        if structure.batch_items > 1 and structure.workers and not _batches(units, structure, fitted):
            continue
        found.append((structure, fitted))
    if not found:
        raise NotFitted(
            f"the records show no batches of up to {fixed.batch_items} items where --workers is {fixed.workers}: leave "
            "out --batch-items, or --workers"
        )
    least = min(fitted.spread for _, fitted in found)
    near = [one for one in found if one[1].spread <= least * _NEAR + 1e-4]
    near.sort(key=lambda one: (one[1].spread > least * _SIMPLER + 1e-4, *_order(one, least)))
    return [_whole(structure, loads, bounds, tolerance_s, fixed) for structure, _ in near[:_MOST]]


def _order(one: tuple[Structure, Law], least: float) -> tuple[float, ...]:
    """Among equally good structures the simpler one first, else the one with the smaller spread."""
    structure, fitted = one
    good = fitted.spread <= least * _SIMPLER + 1e-4
    return _complexity(structure) if good else (fitted.spread, 0, 0)


def _whole(
    structure: Structure, loads: Sequence[Seen], bounds: Refusals, tolerance_s: float, fixed: KnownParameters
) -> Fit:
    """The fit under one structure, with its padding."""
    structure, fitted = _padded(loads, structure, tolerance_s)
    jitter = jitter_of(_residuals(fitted, loads, structure, tolerance_s))
    units = [units_of(seen, structure, tolerance_s) for seen in loads]
    tokens = max(int((one.items * padded(one.longest, structure.pad_multiple)).max()) for one in units)
    known = fixed.batch_items is not None or _full_left_others(units, structure, fitted)
    made = Fit(structure, fitted, jitter, None, None, bounds, (), batch_tokens_seen=tokens, batch_known=known)
    return replace(made, estimates=tuple(batch_estimates(made)))


def with_alternatives(found: Fit, others: Sequence[Structure]) -> Fit:
    """The fit; its estimates name the other structures that explain the records as well."""
    if found.law is None or not others:
        return found
    note = "the records fit as well with " + others[0].text
    estimates = tuple(
        replace(one, note=one.note or note) if one.name in ("workers", "batch_max_items") else one
        for one in found.estimates
    )
    return replace(found, estimates=estimates)


def _residuals(found: Law, loads: Sequence[Seen], structure: Structure, tolerance_s: float) -> Floats:
    """The relative residuals: of all loads if those of lone requests are alike, else of lone requests alone.

    A client that is busy takes answers late, which is no jitter of the server.
    """
    counts = [len(units_of(seen, structure, tolerance_s).done) for seen in loads]
    ends = np.cumsum(counts)
    lone = [
        found.ratios[end - count : end]
        for seen, count, end in zip(loads, counts, ends, strict=True)
        if seen.concurrency == 1
    ]
    alone = np.concatenate(lone) if lone else np.empty(0)
    if len(alone) < 100 or abs(alone.std() / found.ratios.std() - 1) < _ALIKE:
        return found.ratios
    return np.asarray(alone / alone.mean())


def _batches(units: Sequence[Units], structure: Structure, fitted: Law) -> bool:
    """Whether batches that left others waiting had more than one item: answers may come together by chance."""
    left = [one.items[waiting(one, structure, fitted.values["overhead_s"])] for one in units]
    sizes = np.concatenate(left)
    return not len(sizes) or float((sizes > 1).mean()) >= 0.5


def _full_left_others(units: Sequence[Units], structure: Structure, fitted: Law) -> bool:
    """Whether a batch with the most items left others waiting: only then was there no room for one more."""
    overhead_s = fitted.values["overhead_s"]
    return any(
        bool((waiting(one, structure, overhead_s) & (one.items >= structure.batch_items)).any()) for one in units
    )


def _complexity(structure: Structure) -> tuple[float, ...]:
    # A server without a bound is the simplest: nothing waits in it.
    return (structure.lingers, structure.batch_items, structure.workers)


def _structures(loads: Sequence[Seen], tolerance_s: float, fixed: KnownParameters) -> list[Structure]:
    """The structures that may explain the loads."""
    sizes = {1, *_batch_items(loads, tolerance_s)} if fixed.batch_items is None else {fixed.batch_items}
    found = []
    for size in sorted(sizes):
        for workers in _workers(loads, size, tolerance_s) if fixed.workers is None else [fixed.workers]:
            found.append(Structure(workers, size))
            if size > 1 and workers:
                found.append(Structure(workers, size, lingers=True))
    return found


def _batch_items(loads: Sequence[Seen], tolerance_s: float) -> set[int]:
    """The most items that were answered together, and the most that were so in several batches."""
    wide = Structure(batch_items=1 << 20)
    sizes: list[int] = []
    for seen in loads:
        sizes += [sum(seen.shapes[place].items for place in group) for group in grouped(seen, wide, tolerance_s)]
    counts = np.bincount(sizes)
    # Large batches are few: a burst of 512 has one or two of 256. The answers of two batches may also come together.
    return {int(np.flatnonzero(counts >= least).max(initial=1)) for least in (1, 3)}


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
    found = (
        list(range(low, high + 1))
        if high - low < 12
        else sorted({round(low * (high / low) ** (k / 11)) for k in range(12)})
    )
    return [*sorted({1, 2, *found}), 0]


def _padded(loads: Sequence[Seen], structure: Structure, tolerance_s: float) -> tuple[Structure, Law]:
    """The padding with the least spread, and the square of the length where it explains more."""
    units = [units_of(seen, structure, tolerance_s) for seen in loads]
    chosen, found = _finest(units, structure)
    if law(units, chosen, squares=True).spread + 1e-4 < _LONGER * found.spread:
        return _finest(units, structure, squares=True)
    return chosen, found


def _finest(units: Sequence[Units], structure: Structure, squares: bool = False) -> tuple[Structure, Law]:
    """The padding with the least spread; the finest of those that are as good."""
    structures = [replace(structure, pad_multiple=pad) for pad in PADS]
    tried = [(one, law(units, one, squares)) for one in structures]
    least = min(found.spread for _, found in tried)
    return next((one, found) for one, found in tried if found.spread <= least + 1e-9)


def of_log(calibration: Calibration, bounds: Refusals, fixed: KnownParameters) -> Fit:
    """The fit of a server that reports its batches."""
    loads = list(calibration.batches.values())
    batches = [one for load in loads for one in load]
    idle, alone = calibration.idle, calibration.batches.get(calibration.idle.name if calibration.idle else "", [])
    assert idle is not None  # noqa: S101 - a calibration has one
    idle = idle.part(idle.ok)
    overheads = white_box.overheads(idle, alone) if alone else np.zeros(1)
    overhead_s = float(overheads.mean())
    policy = calibration.policy
    linger_s = calibration.queue_s if calibration.queue_s > white_box.LINGER_MIN_S else 0.0
    if policy is not None:
        linger_s = policy.linger_s
    pad = white_box.pad_multiple(batches) if policy is None else policy.pad_multiple
    found = white_box.law_of(batches, max(0.0, overhead_s - linger_s), linger_s)
    most = max(one.items for one in batches) if policy is None else policy.items_max
    most = most if fixed.batch_items is None else fixed.batch_items
    workers = white_box.workers(loads) if white_box.waited(loads, linger_s) else 0
    workers = workers if fixed.workers is None else fixed.workers
    if calibration.arrivals is not None:
        running = white_box.running_items(calibration.batches.get(calibration.arrivals.name, []))
        bounds = replace(bounds, batch_items=running)
    bound = 0 if policy is None else policy.tokens_max
    structure = Structure(0 if workers >= UNBOUNDED else workers, most, pad, bound, lingers=linger_s > 0)
    tokens = max(one.items * one.length for one in batches)
    made = Fit(
        structure, found, jitter_of(found.ratios), None, None, bounds, (), batch_tokens_seen=tokens, white_box=True,
        policy_known=policy is not None,
        batch_known=policy is not None or fixed.batch_items is not None or white_box.filled(batches, most),
        overhead_tokens=0.0 if policy is None or most == 1 else policy.overhead_tokens,
        tokens=white_box.tokens_of(idle, alone),
    )  # fmt: skip
    return replace(made, estimates=tuple(batch_estimates(made)))


def _of_streams(loads: Sequence[Seen], bounds: Refusals, fixed: KnownParameters) -> Fit:
    most = max(streaming_at_once(seen) for seen in loads)
    # Without a bound first: where no sequence waited, slots explain nothing more.
    candidates = [0, *range(most, most + 3)] if fixed.workers is None else [fixed.workers]
    laws = [stream_law(loads, slots) for slots in candidates]
    least = min(one.spread for one in laws)
    found = next(one for one in laws if one.spread <= least * _SIMPLER + 1e-4)
    # Squares of the prompt and the context of all sequences, where they explain more.
    longer = stream_law(loads, found.slots, squares=True)
    if longer.spread + longer.next_spread < _LONGER * (found.spread + found.next_spread):
        found = longer
    jitters = jitter_of(found.first_ratios), jitter_of(found.next_ratios)
    estimates = [
        Estimate(name, found.values[name], found.errors[name],
                 "its interval is wide" if found.errors[name] > SURE * max(found.values[name], 1e-12) else "")
        for name in found.terms
    ]  # fmt: skip
    for name, jitter, ratios in (
        ("ttft_cv", jitters[0], found.first_ratios),
        ("itl_cv", jitters[1], found.next_ratios),
    ):
        estimates.append(Estimate(name, cv_of(jitter), cv_of(jitter) / math.sqrt(2 * max(1, len(ratios)))))
    unbounded = "" if found.slots else f"bounded below: {most} sequences ran at once, and none waited"
    estimates.append(Estimate("running_max", found.slots or most, None, unbounded))
    return Fit(
        Structure(workers=0), None, None, found, jitters, bounds, (*estimates, *bound_estimates(bounds, found.slots))
    )

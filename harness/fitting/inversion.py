"""Service times of batches, worked out from the instants at which requests were sent and answered.

Given a structure (workers, items of a batch), the start of each batch follows from the records: it starts when a worker
is free and its oldest request is in the server, and workers take batches in the order of their oldest requests. The
rest of its time is service. The times of all loads together give the constants of a linear law, by least squares of
relative residuals with constants >= 0:

    seconds = base + per item x n + per padded token x n S + per square x n S^2,
    with the overhead of a request and the linger time where they apply.

Rules of this file
  1. A wrong structure gives service times that do not agree between loads, so their spread is the measure of it.
  2. Instants are those of the client. The overhead is the part of a latency that is missing where a batch waited.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np

from harness.fitting.batch_units import Structure, Units, padded
from harness.fitting.seen import Floats

TERMS = ("base_s", "per_item_s", "per_token_s", "per_square_s", "overhead_s", "linger_s")
_ROUNDS = 12
_SAME = 1e-9
_FAR = 1.5
"""Logarithms of ratios count up to this."""
NEGLIGIBLE = 0.001
"""A term that adds less than this share of the mean service time is left out."""


@dataclass(frozen=True)
class Law:
    """The constants of the service times, with their standard errors, and the relative residuals."""

    values: dict[str, float]
    errors: dict[str, float]
    ratios: Floats  # measured over fitted service time
    spread: float  # root mean square of their logarithms
    terms: tuple[str, ...]  # those that the loads determine
    dropped: tuple[str, ...] = ()  # those that are smaller than twice their error, or without weight


@dataclass(frozen=True)
class Times:
    """Service times of the batches of all loads, and which of them include the overhead and the linger time."""

    seconds: Floats
    idle: Floats
    lingered: Floats


def times(units: Units, structure: Structure, overhead_s: float, linger_s: float) -> Times:
    """The service times under a structure; times that cannot be are cut to a little."""
    count = len(units.done)
    seconds, idle, lingered = np.empty(count), np.zeros(count), np.zeros(count)
    free = [-math.inf] * (structure.workers or 1)
    heapify(free)
    oldest, newest, done = units.oldest.tolist(), units.newest.tolist(), units.done.tolist()
    full = _full(units, structure).tolist()
    for place in range(count):
        ready = oldest[place] + overhead_s
        if structure.lingers:
            waits = ready + linger_s
            # A full batch leaves with its last request.
            lingered[place] = not full[place] or newest[place] + overhead_s > waits
            ready = waits if lingered[place] else newest[place] + overhead_s
        worker = heappop(free) if structure.workers else -math.inf
        if worker > ready + _SAME:
            start, lingered[place] = worker, 0.0
        else:
            start, idle[place] = ready, 1.0
        if structure.workers:
            heappush(free, done[place])
        seconds[place] = done[place] - start
    return Times(seconds, idle, lingered)


def waiting(units: Units, structure: Structure, overhead_s: float) -> Any:
    """Which batches left another one waiting when they started."""
    starts = units.done - times(units, structure, overhead_s, 0.0).seconds
    arrived, started = np.sort(units.oldest + overhead_s), np.sort(starts)
    there = np.searchsorted(arrived, starts - _SAME, side="left")
    gone = np.searchsorted(started, starts, side="right")
    return there > gone


def _full(units: Units, structure: Structure) -> Any:
    full = units.items >= structure.batch_items
    if structure.batch_tokens:
        full |= (units.items + 1) * padded(units.longest, structure.pad_multiple) > structure.batch_tokens
    return full


def law(all_units: Sequence[Units], structure: Structure, squares: bool = False) -> Law:
    """The constants that fit the service times of all loads under a structure."""
    items = np.concatenate([units.items for units in all_units])
    length = padded(np.concatenate([units.longest for units in all_units]), structure.pad_multiple)
    columns = _columns(items, length, squares)
    found = _settled(all_units, structure, columns)
    dropped: list[str] = []
    while (weak := _weakest(found, columns)) is not None:
        dropped.append(weak)
        if weak in columns:
            del columns[weak]
        structure = replace(structure, lingers=structure.lingers and weak != "linger_s")
        found = _settled(
            all_units, structure, columns, overhead=found.values["overhead_s"] > 0 and weak != "overhead_s"
        )
    return replace(found, dropped=tuple(dropped))


def _columns(items: Floats, length: Floats, squares: bool) -> dict[str, Floats]:
    """The terms that these batches can tell apart."""
    columns = {"base_s": np.ones(len(items))}
    if np.ptp(items) > 0:
        columns["per_item_s"] = items
    if np.ptp(length) > 0:
        columns["per_token_s"] = items * length
    if squares and np.ptp(length) > 0:
        columns["per_square_s"] = items * length**2
    return columns


def _weakest(found: Law, columns: dict[str, Floats]) -> str | None:
    """The term that is nearest to nothing: below two standard errors, or without weight. None if all count."""
    service = sum(found.values[name] * column for name, column in columns.items())
    mean_s = float(np.mean(np.asarray(service, float)))
    shares: dict[str, float] = {}
    for name in found.terms:
        weight = float(np.mean(columns[name])) if name in columns else 1.0
        small = found.values[name] * weight < NEGLIGIBLE * mean_s
        if name != "base_s" and (small or found.values[name] < 2 * found.errors[name]):
            shares[name] = found.values[name] * weight
    return min(shares, key=lambda name: shares[name]) if shares else None


def _settled(
    all_units: Sequence[Units], structure: Structure, columns: dict[str, Floats], overhead: bool = True
) -> Law:
    """The law with these terms: overhead and linger time move the starts, so they are solved in rounds."""
    overhead_s = linger_s = 0.0
    best: Law | None = None
    for _ in range(_ROUNDS):
        found = [times(units, structure, overhead_s, linger_s) for units in all_units]
        idle = np.concatenate([one.idle for one in found])
        lingered = np.concatenate([one.lingered for one in found])
        seconds = np.concatenate([one.seconds for one in found])
        fitted = _solved(columns, seconds, idle * overhead, lingered, structure, overhead_s, linger_s)
        if best is None or fitted.spread < best.spread * (1 - 1e-9):
            best = fitted
        moved = abs(fitted.values["overhead_s"] - overhead_s) + abs(fitted.values["linger_s"] - linger_s)
        overhead_s, linger_s = fitted.values["overhead_s"], fitted.values["linger_s"]
        if moved < 1e-7:
            break
    assert best is not None  # noqa: S101 - there is a round at least
    return best


def _solved(
    columns: dict[str, Floats],
    seconds: Floats,
    idle: Floats,
    lingered: Floats,
    structure: Structure,
    overhead_s: float,
    linger_s: float,
) -> Law:
    """One round: the constants of these service times, and better values of overhead and linger time."""
    used = dict(columns)
    if 0 < idle.sum() < len(idle):
        used["overhead_s"] = idle
    if structure.lingers and 0 < lingered.sum() < len(lingered):
        used["linger_s"] = lingered
    # What the last values took off is put back.
    whole = seconds + overhead_s * ("overhead_s" in used) * idle + linger_s * ("linger_s" in used) * lingered
    names = tuple(used)
    table = np.stack([used[name] for name in names], axis=1)
    service = np.maximum(seconds, 1e-7)
    solution = np.zeros(len(names))
    for _ in range(4):
        weights = 1.0 / service
        solution = nonnegative(table * weights[:, None], whole * weights)
        of_service = sum(solution[place] * used[name] for place, name in enumerate(names) if name in columns)
        service = np.maximum(np.asarray(of_service, float), 1e-7)
    values = dict.fromkeys(TERMS, 0.0) | {name: float(value) for name, value in zip(names, solution, strict=True)}
    if "overhead_s" not in used:
        values["overhead_s"] = 0.0
    ratios = np.maximum((whole - solution_of(values, "overhead_s", idle) - solution_of(values, "linger_s", lingered))
                        / service, 1e-3)  # fmt: skip
    # A late stamp of the client makes one time nearly nothing: it must not outweigh all others.
    logs = np.minimum(np.abs(np.log(ratios)), _FAR)
    spread = float(np.sqrt(np.mean(logs**2)))
    errors = standard_errors(table / service[:, None], ratios, names)
    return Law(values, errors, ratios, spread, names)


def fitted_terms(items: Floats, length: Floats, seconds: Floats, known: dict[str, float]) -> Law:
    """The law of batches whose service times are known, with squares of the length if they are of use."""
    columns = _columns(items, length, squares=True)
    nothing = np.zeros(len(items))
    found = _solved(columns, seconds, nothing, nothing, Structure(), 0.0, 0.0)
    dropped: list[str] = []
    while (weak := _weakest(found, columns)) is not None:
        dropped.append(weak)
        del columns[weak]
        found = _solved(columns, seconds, nothing, nothing, Structure(), 0.0, 0.0)
    return replace(found, values=found.values | known, dropped=tuple(dropped))


def solution_of(values: dict[str, float], name: str, column: Floats) -> Floats:
    """The part of one term."""
    return values[name] * column


def nonnegative(table: Any, wanted: Floats) -> Floats:
    """Least squares with constants >= 0; columns are scaled, because tokens and seconds differ by thousands."""
    from scipy.optimize import nnls

    scale = np.sqrt((table**2).mean(axis=0))
    scale[scale == 0] = 1.0
    gram = (table / scale).T @ (table / scale)
    target = (table / scale).T @ wanted
    # The same solution from the normal equations, whose size does not grow with the rows.
    factor = np.linalg.cholesky(gram + 1e-12 * np.trace(gram) / len(gram) * np.eye(len(gram)))
    solution, _ = nnls(factor.T, np.linalg.solve(factor, target))
    return np.asarray(solution / scale)


def standard_errors(table: Any, ratios: Floats, names: Sequence[str]) -> dict[str, float]:
    freedom = max(1, len(ratios) - len(names))
    variance = float(((ratios - 1) ** 2).sum() / freedom)
    inverse = np.linalg.pinv(table.T @ table)
    return {name: float(math.sqrt(max(0.0, variance * inverse[place, place]))) for place, name in enumerate(names)}

"""The service times of a server that reports its batches: items, padded length and duration of each.

Such a server leaves little to work out. Workers are the batches that ran at once, and the overhead is what a request
alone took beside its batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.fitting.bench import Batch
from harness.fitting.inversion import Law, fitted_terms
from harness.fitting.seen import Floats, Seen

LINGER_MIN_S = 0.0005
"""A request alone that waits less did not wait for others."""
LOG_MAX = 1024
"""Batches that a server remembers."""
_ALIKE = 0.03


def law_of(batches: Sequence[Batch], overhead_s: float, linger_s: float, scale: float) -> Law:
    """The constants of these batches. `scale`: tokens of the server for one of the mock."""
    items = np.array([one.items for one in batches], float)
    length = np.array([one.length for one in batches], float) / scale
    seconds = np.array([one.duration_s for one in batches], float)
    return fitted_terms(items, length, seconds, {"overhead_s": overhead_s, "linger_s": linger_s})


def workers(loads: Sequence[Sequence[Batch]]) -> int:
    """The most batches that ran at the same time."""
    most = 0
    for batches in loads:
        # An end comes before a start at the same instant.
        starts, ends = ((one.started, 1) for one in batches), ((_end(one), -1) for one in batches)
        now = 0
        for _, step in sorted([*starts, *ends]):
            now += step
            most = max(most, now)
    return most


def _end(batch: Batch) -> float:
    return batch.started + batch.duration_s - 1e-6


def overheads(idle: Seen, batches: Sequence[Batch]) -> Floats:
    """What each request alone took beside its batch; one mean where a request has several batches."""
    durations = np.array([one.duration_s for one in batches])
    count = min(len(idle), len(batches))
    if len(batches) < LOG_MAX and len(batches) > 1.1 * len(idle):
        return np.array([max(1e-6, float(idle.latency.mean()) - float(durations.sum()) / len(idle))])
    return np.asarray(np.maximum(1e-6, idle.latency[-count:] - durations[-count:]))


def units_of_length(idle: Seen, batches: Sequence[Batch], pad: int) -> tuple[float, int]:
    """Tokens of the server for one token of the mock, and the multiple to which the mock pads.

    `batches` are those of the idle load, padded by the server to multiples of `pad`. The mock counts words, and a pair
    as one text, so its multiple is the one that gives most nearly the same padded lengths.
    """
    count = min(len(idle), len(batches))
    shapes, known = idle.shapes[-count:], batches[-count:]
    if len(idle) > len(batches) < LOG_MAX or any(
        shape.items != one.items for shape, one in zip(shapes, known, strict=True)
    ):
        found = sum(one.tokens for one in batches) / sum(sum(shape.tokens) for shape in idle.shapes)
        return _plain(found, pad)
    ours = np.array([shape.longest for shape in shapes], float)
    theirs = np.array([one.length for one in known], float)
    if pad == 1:
        return _plain(float(np.median(theirs / ours)), pad)
    near = pad * float(np.median(ours / theirs))
    tried = range(max(1, round(near * 0.5)), round(near * 1.6) + 2)
    # Of equally good ones the nearest to the server's own.
    best = min(tried, key=lambda one: (float(np.abs(np.ceil(ours / one) * pad / theirs - 1).sum()), abs(one - pad)))
    return pad / best, best


def _plain(found: float, pad: int) -> tuple[float, int]:
    """This scale, or none if tokens and words are about the same."""
    return (1.0, pad) if abs(found - 1) < _ALIKE else (found, max(1, round(pad / found)))


def pad_multiple(batches: Sequence[Batch]) -> int:
    """What all lengths are multiples of."""
    return math.gcd(*(one.length for one in batches))

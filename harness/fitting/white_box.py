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


def scale(idle: Seen, batches: Sequence[Batch]) -> float:
    """Tokens of the server for one token of the mock; 1 if they are about the same."""
    count = min(len(idle), len(batches))
    theirs = np.array([one.tokens for one in batches[-count:]], float)
    ours = np.array([sum(shape.tokens) for shape in idle.shapes[-count:]], float)
    found = float(np.median(theirs / ours))
    return 1.0 if abs(found - 1) < _ALIKE else found


def pad_multiple(batches: Sequence[Batch]) -> int:
    """What all lengths are multiples of."""
    return math.gcd(*(one.length for one in batches))

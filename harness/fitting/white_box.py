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
from mock_server.profile import Tokens

LINGER_MIN_S = 0.0005
"""A request alone that waits less did not wait for others."""
LOG_MAX = 1024
"""Batches that a server remembers."""
PAD_MAX = 4096
_LEAST = 1e-3
"""Tokens for a word where longer texts have no more of them."""


def law_of(batches: Sequence[Batch], overhead_s: float, linger_s: float) -> Law:
    """The constants of these batches."""
    items = np.array([one.items for one in batches], float)
    length = np.array([one.length for one in batches], float)
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


def tokens_of(idle: Seen, batches: Sequence[Batch]) -> Tokens:
    """How the server counts the tokens of an item: by least squares, from the requests of the idle load.

    The mock counts words, and those of a pair together, where a server may count pieces of words, or the longer text.
    """
    pairs = np.array(_words_and_tokens(idle, batches), float).reshape(-1, 2)
    if not len(pairs):
        return Tokens()
    words, tokens = pairs.T
    if np.ptp(words):
        per_word, special = np.polyfit(words, tokens, 1)
    else:
        # One length shows only their difference, or their ratio where the server counts fewer.
        per_word, special = 1.0, (tokens - words).mean()
    if per_word <= 0:
        return Tokens(per_word=_LEAST, special=float(tokens.mean()))
    if special < 0:
        return Tokens(per_word=float(words @ tokens / (words @ words)), special=0.0)
    return Tokens(per_word=float(per_word), special=float(special))


def _words_and_tokens(idle: Seen, batches: Sequence[Batch]) -> list[tuple[float, float]]:
    """For each request, the last one first: words of an item, and its tokens in the server, both on average."""
    found, left = [], list(batches)
    for shape in reversed(idle.shapes):
        items = tokens = 0
        while left and items < shape.items:
            batch = left.pop()
            items, tokens = items + batch.items, tokens + batch.tokens
        if items != shape.items:
            break
        found.append((sum(shape.tokens) / items - Tokens().special, tokens / items))
    return found


def pad_multiple(batches: Sequence[Batch]) -> int:
    """What all lengths are multiples of, as far as a mock can pad."""
    common = math.gcd(*(one.length for one in batches))
    return next(one for one in range(min(common, PAD_MAX), 0, -1) if common % one == 0)

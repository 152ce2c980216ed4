"""The service times of a server that reports its batches: items, padded length and duration of each.

Such a server leaves little to work out. Workers are the batches that ran at once, if any items waited for them, and the
overhead is what a request alone took beside its batches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.fitting.bench import Batch
from harness.fitting.inversion import Law, fitted_terms
from harness.fitting.request_shapes import Shape
from harness.fitting.seen import Floats, Seen
from mock_server.profile import Tokens

LINGER_MIN_S = 0.0005
"""A request alone that waits less did not wait for others."""
LOG_MAX = 1024
"""Batches that a server remembers."""
PAD_MAX = 4096
_AT_ONCE = 0.05
"""Of the linger time: a batch that starts so soon after the end of another one waited for it."""
_ENDS_MIN = 10
_ROUNDED_S = 2e-6
_PAIRED_MIN = 10
"""Fewest requests whose batches are known."""
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


def waited(loads: Sequence[Sequence[Batch]], linger_s: float) -> bool:
    """Whether items waited for a worker; also if the server does not say so.

    While a server lingers, items wait for others: then those that are there when a batch ends hardly start at once.
    """
    if any(one.queued is None for load in loads for one in load):
        return True
    if not linger_s:
        return any(one.queued for load in loads for one in load)
    return any(_at_once(load, _AT_ONCE * linger_s) for load in loads)


def _at_once(batches: Sequence[Batch], within_s: float) -> bool:
    """Whether most batches that left others waiting were followed by another one at once."""
    starts = np.sort([one.started for one in batches])
    ends = np.array([_end(one) for one in batches if one.queued])
    if len(ends) < _ENDS_MIN:
        return False
    later = np.append(starts, np.inf)[np.searchsorted(starts, ends)]
    return bool((later - ends <= within_s + _ROUNDED_S).mean() >= 0.5)


def running_items(batches: Sequence[Batch]) -> float | None:
    """Items of a running batch, while others wait; None if none waited."""
    busy = [one for one in batches if one.queued]
    whole_s = sum(one.duration_s for one in busy)
    return sum(one.items * one.duration_s for one in busy) / whole_s if whole_s else None


def filled(batches: Sequence[Batch], items_max: int) -> bool:
    """Whether batches stopped at this size although others waited: one may have it by chance."""
    return sum(one.items == items_max and one.queued != 0 for one in batches) > 1


def overheads(idle: Seen, batches: Sequence[Batch]) -> Floats:
    """What each request alone took beside its batches; one mean if it is not known which these are."""
    paired = _batches_of(idle, batches)
    if len(paired) >= min(len(idle), _PAIRED_MIN):
        beside = [latency - _busy_s(own) for latency, (_, own) in zip(idle.latency[::-1], paired, strict=False)]
        return np.asarray(np.maximum(1e-6, np.array(beside, float)))
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
    return [
        (sum(shape.tokens) / shape.items - Tokens().special, sum(one.tokens for one in own) / shape.items)
        for shape, own in _batches_of(idle, batches)
    ]


def _batches_of(idle: Seen, batches: Sequence[Batch]) -> list[tuple[Shape, list[Batch]]]:
    """The shape and the batches of each request, the last one first: a server forgets the first ones."""
    found, left = [], list(batches)
    for shape in reversed(idle.shapes):
        own: list[Batch] = []
        while left and sum(one.items for one in own) < shape.items:
            own.append(left.pop())
        if sum(one.items for one in own) != shape.items:
            break
        found.append((shape, own))
    return found


def _busy_s(own: Sequence[Batch]) -> float:
    """Seconds in which the batches of one request ran, one after another or at once."""
    span_s = max(one.started + one.duration_s for one in own) - min(one.started for one in own)
    return min(span_s, sum(one.duration_s for one in own))


def pad_multiple(batches: Sequence[Batch]) -> int:
    """What all lengths are multiples of, as far as a mock can pad."""
    common = math.gcd(*(one.length for one in batches))
    return next(one for one in range(min(common, PAD_MAX), 0, -1) if common % one == 0)

"""Output tokens by the instants at which they arrived. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from harness.measure.reduce.columns import Array, Repeat
from harness.measure.reduce.streams import counted, e2e_ends

PIECE = 1 << 14
"""Rows of gaps that are worked on at once, so that memory is bounded."""


def output_tokens(repeat: Repeat, width_s: float, count: int) -> list[float] | None:
    """Tokens in each of `count` slices; None if no success has any.

    The tokens of a stream are shared out equally to its content events; those of an answer that came whole arrive with
    its last byte.
    """
    part = counted(repeat)
    known = part.tokens["output"] > 0
    rows, tokens = part.rows[known], part.tokens[known]
    if not len(rows):
        return None
    share = tokens["output"] / np.maximum(rows["chunks"], 1)
    firsts = np.where(rows["chunks"] > 0, rows["first_byte"], e2e_ends(rows)) / 1e9
    whole = part.rows_without_gaps[known]
    sums = _tally(firsts[~whole], share[~whole], width_s, count)
    sums += _spread(rows[whole], tokens["output"][whole], width_s, count)
    of = np.full(len(repeat.rows), -1)
    of[tokens["row"]] = np.arange(len(tokens))
    for piece in _pieces(part.gaps):
        known = of[piece["row"]] >= 0
        if known.any():
            at, place = _arrivals(piece[known], firsts, of)
            sums += _tally(at, share[place], width_s, count)
    return [round(float(value), 3) for value in sums]


def _spread(rows: Array, tokens: Array, width_s: float, count: int) -> Array:
    """Tokens of streams whose gaps are not held, spread evenly from the first to the last content event."""
    if not len(rows):
        return np.zeros(count)
    begins, ends = rows["first_byte"] / 1e9, rows["last_chunk"] / 1e9
    lengths = np.maximum(ends - begins, 1e-9)
    edges = np.arange(1, count) * width_s
    until = [float((tokens * np.clip((edge - begins) / lengths, 0.0, 1.0)).sum()) for edge in edges]
    return np.diff([0.0, *until, float(tokens.sum())])


def _tally(instants_s: Array, weights: Array, width_s: float, count: int) -> Array:
    places = np.clip((instants_s / width_s).astype(np.int64), 0, count - 1)
    sums: Array = np.bincount(places, weights, count)
    return sums


def _pieces(gaps: Array) -> Iterator[Array]:
    """Some thousand rows at a time, with streams whole. The rows of a stream follow one another in the file."""
    begins = gaps["row"][::PIECE]
    edges = np.unique(np.append(np.searchsorted(gaps["row"], begins), len(gaps))).tolist()
    for begin, end in pairwise(edges):
        yield gaps[begin:end]


def _arrivals(gaps: Array, firsts_s: Array, of: Array) -> tuple[Array, Array]:
    """The instant of each content event after the first, and the place of its stream."""
    values = gaps["gaps"].astype(np.float64)
    place = np.repeat(of[gaps["row"]], values.shape[1])
    flat = values.ravel()
    real = ~np.isnan(flat)
    place, flat = place[real], flat[real]
    since = np.cumsum(flat)
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    before = since[starts] - flat[starts]
    return firsts_s[place] + since - np.repeat(before, np.diff([*starts.tolist(), len(place)])), place

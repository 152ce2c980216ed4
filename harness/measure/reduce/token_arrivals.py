"""Output tokens by the instants at which they arrived. Pure."""

from __future__ import annotations

import numpy as np

from harness.measure.reduce.columns import Array, Repeat
from harness.measure.reduce.streams import counted, e2e_ends


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
    instants, weights = [firsts], [share]
    of = np.full(len(repeat.rows), -1)
    of[tokens["row"]] = np.arange(len(tokens))
    gaps = part.gaps[of[part.gaps["row"]] >= 0]
    if len(gaps):
        at, place = _arrivals(gaps, firsts, of)
        instants.append(at)
        weights.append(share[place])
    places = np.clip((np.concatenate(instants) / width_s).astype(np.int64), 0, count - 1)
    return [round(float(value), 3) for value in np.bincount(places, np.concatenate(weights), count)]


def _arrivals(gaps: Array, firsts_s: Array, of: Array) -> tuple[Array, Array]:
    """The instant of each content event after the first, and the place of its stream."""
    order = np.argsort(gaps["row"], kind="stable")
    values = gaps["gaps"][order].astype(np.float64)
    place = np.repeat(of[gaps["row"][order]], values.shape[1])
    flat = values.ravel()
    real = ~np.isnan(flat)
    place, flat = place[real], flat[real]
    since = np.cumsum(flat)
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    before = since[starts] - flat[starts]
    return firsts_s[place] + since - np.repeat(before, np.diff([*starts.tolist(), len(place)])), place

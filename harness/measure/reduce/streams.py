"""Times of a request to a language model, in ns, from its rows. Pure.

TTFT is from the last attempt's `sent` to the first content event; it excludes lag, queue wait and retry time.
E2E is from the same instant to the last content event; of an answer that came whole, to its last byte.
TPOT is (E2E - TTFT) / (output tokens - 1), of streams with two tokens or more in two content events or more.
ITL is every gap between two content events that follow one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from harness.client.types import Outcome
from harness.measure.reduce import columns
from harness.measure.reduce.column_rows import in_order, picked
from harness.measure.reduce.columns import Array, Repeat


class Counted(NamedTuple):
    """Successes with tokens: rows of requests and of tokens, side by side, and the gaps of all requests."""

    rows: Array
    tokens: Array
    gaps: Array
    every: int = 1

    @property
    def rows_without_gaps(self) -> Array:
        """Whether the gaps of a stream with several events are not held."""
        if self.every == 1:
            return np.zeros(len(self.rows), bool)
        several: Array = self.rows["chunks"] > 1
        return several & ~np.isin(self.tokens["row"], self.gaps["row"])


def counted(repeat: Repeat) -> Counted:
    """The successes of a repeat that have tokens. Of the rows there are the fields of _COUNTED_FIELDS."""
    tokens = repeat.tokens.counts[_have_tokens(repeat)]
    return Counted(picked(repeat.rows, tokens["row"], _COUNTED_FIELDS), tokens, repeat.tokens.gaps, repeat.tokens.every)


_COUNTED_FIELDS = ("index", "sent", "first_byte", "last_chunk", "done", "chunks")
"""The fields that figures of tokens need. Whole records of millions of rows take twice the memory."""


def in_order_of_sending(repeat: Repeat, names: Sequence[str]) -> tuple[Array, Array]:
    """These fields, and the output tokens, of the successes that have tokens."""
    counts, which = repeat.tokens.counts, _have_tokens(repeat)
    places, output = counts["row"][which], counts["output"][which]
    sent = repeat.rows["sent"][places]
    places, output = in_order(sent, places), in_order(sent, output)
    del sent, which
    return picked(repeat.rows, places, names), output


def _have_tokens(repeat: Repeat) -> Array:
    """Which of the token counts belong to successes that were sent."""
    places = repeat.tokens.counts["row"]
    found: Array = (repeat.rows["outcome"][places] == Outcome.ok) & (repeat.rows["sent"][places] >= 0)
    return found


def total(repeat: Repeat, name: str) -> int | None:
    """The sum of a count over successes; None if it is known of none."""
    values = repeat.tokens.counts[name][_have_tokens(repeat)]
    known = values[values >= 0]
    return int(known.sum(dtype=np.int64)) if len(known) else None


def e2e_ends(rows: Array) -> Array:
    """The instant of the last content event, else of the last byte."""
    ends: Array = np.where(rows["last_chunk"] >= 0, rows["last_chunk"], rows["done"])
    return ends


def e2e(rows: Array) -> Array:
    """E2E; -1 if nothing was sent."""
    found: Array = np.where(columns.was_sent(rows), e2e_ends(rows) - rows["sent"], -1)
    return found


def tpot(rows: Array, output: Array) -> Array:
    """TPOT of each row, by its number of output tokens; -1 where there is none."""
    known = (output > 1) & (rows["chunks"] > 1) & (rows["first_byte"] >= 0) & (rows["last_chunk"] >= 0)
    decoding = rows["last_chunk"] - rows["first_byte"]
    found: Array = np.where(known, np.rint(decoding / np.maximum(output - 1.0, 1.0)), -1).astype(np.int64)
    return found


def outputs(repeat: Repeat) -> Array:
    """Output tokens of each row of a repeat; -1 where they are not known."""
    found = np.full(len(repeat.rows), -1, np.int64)
    found[repeat.tokens.counts["row"]] = repeat.tokens.counts["output"]
    return found


def gaps(repeat: Repeat) -> Array:
    """All gaps between content events of successes, stream by stream in the order in which they were sent."""
    rows, places = repeat.tokens.gaps["gaps"], repeat.tokens.gaps["row"]
    sent = repeat.rows["sent"][places]
    good = np.flatnonzero((repeat.rows["outcome"][places] == Outcome.ok) & (sent >= 0))
    flat = rows[good[np.argsort(sent[good], kind="stable")]].ravel()
    # There may be millions: each step frees the one before.
    exact = flat[~np.isnan(flat)].astype(np.float64)
    exact *= 1e9
    found: Array = np.rint(exact, out=exact).astype(np.int64)
    return found


def mean_gap(rows: Array) -> Array:
    """The mean gap of each stream: (last - first) / (events - 1)."""
    found: Array = (rows["last_chunk"] - rows["first_byte"]) / (np.maximum(rows["chunks"], 2) - 1.0)
    return found.round().astype(np.int64)

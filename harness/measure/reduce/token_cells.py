"""The columns of tokens in the table of requests, in constant memory.

The counts are in a file of their own, in the order of the requests, so both files are read side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from harness.measure.record.rows_file import TOKEN_DTYPE, TOKENS_ARE_EVENTS
from harness.measure.reduce.columns import Array, was_sent
from harness.measure.reduce.streams import e2e, tpot


class Column(NamedTuple):
    """A column of the table."""

    kind: type
    unit: str  # s, or empty
    meaning: str


TOKEN_COLUMNS = {
    "prompt_tokens": Column(int, "", "of the prompt, by the server; of several items in one request, at the first"),
    "output_tokens": Column(int, "", "generated, by the server, else the content events of the stream"),
    "cached_tokens": Column(int, "", "of the prompt, from the server's prefix cache"),
    "reasoning_tokens": Column(int, "", "of the output"),
    "tokens_from": Column(str, "", "who counted the output: server or events"),
    "first_chunk_tokens": Column(int, "", "tokens, else content events, that came with the first one"),
    "ttft_s": Column(float, "s", "sent to the first content event; null if it was no stream"),
    "tpot_s": Column(float, "s", "first to last content event, for each output token after the first"),
    "e2e_s": Column(float, "s", "sent to the last content event, else the last byte"),
}
"""Name -> its type, unit and meaning. Without tokens all but the last are null."""
_COUNTS = ("prompt", "output", "cached", "reasoning")


class TokensBeside:
    """Token rows read as far as the requests are."""

    def __init__(self, rows: Iterator[Array]) -> None:
        self._rows = rows
        self._ahead = np.empty(0, TOKEN_DTYPE)
        self._first = 0  # place of the next request

    def of(self, requests: Array) -> Array:
        """A row for each of the next requests; counts of -1 where it has none."""
        end = self._first + len(requests)
        while not len(self._ahead) or self._ahead["row"][-1] < end:
            more = next(self._rows, None)
            if more is None:
                break
            self._ahead = np.concatenate([self._ahead, more])
        here = int(np.searchsorted(self._ahead["row"], np.uint64(end)))
        taken, self._ahead = self._ahead[:here], self._ahead[here:]
        found = np.zeros(len(requests), TOKEN_DTYPE)
        for name in _COUNTS:
            found[name] = -1
        places = taken["row"].astype(np.int64) - self._first
        # Where frames of requests are damaged, places are of no use.
        known = (places >= 0) & (requests["index"][np.maximum(places, 0)] == taken["index"])
        found[places[known]] = taken[known]
        self._first = end
        return found

    def finish(self) -> None:
        """Read on to the end, so that all defects are found."""
        for _ in self._rows:
            pass


def token_cells(rows: Array, tokens: Array) -> dict[str, list[Any]]:
    """The columns of a block of requests, with their token rows side by side."""
    cells: dict[str, list[Any]] = {
        f"{name}_tokens": [count if count >= 0 else None for count in tokens[name].tolist()] for name in _COUNTS
    }
    by_events = (tokens["flags"] & TOKENS_ARE_EVENTS) > 0
    cells["tokens_from"] = [
        None if count < 0 else "events" if events else "server"
        for count, events in zip(tokens["output"].tolist(), by_events.tolist(), strict=True)
    ]
    cells["first_chunk_tokens"] = [first or None for first in tokens["first"].tolist()]
    streams = (rows["chunks"] > 0) & (rows["first_byte"] >= 0) & was_sent(rows)
    each, whole = tpot(rows, tokens["output"]), e2e(rows)
    cells["ttft_s"] = seconds(rows["first_byte"] - rows["sent"], streams)
    cells["tpot_s"] = seconds(each, each >= 0)
    cells["e2e_s"] = seconds(whole, whole >= 0)
    return cells


def seconds(ns: Array, happened: Array) -> list[float | None]:
    """Seconds with nine decimals, so that a table in CSV shows the recorded instant and no binary rest."""
    return [
        round(value / 1e9, 9) if is_so else None for value, is_so in zip(ns.tolist(), happened.tolist(), strict=True)
    ]

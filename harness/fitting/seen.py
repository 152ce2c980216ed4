"""A client's records of one load: instants and outcomes of every request, with its shape."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.fitting.request_shapes import Shape

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Seen:
    """Rows in the order of sending. Instants are seconds since the load's zero; NaN for what did not happen."""

    name: str
    concurrency: int  # of a closed loop; 0: arrivals
    shapes: tuple[Shape, ...]
    sent: Floats
    first: Floats
    last: Floats
    done: Floats
    ok: Bools
    refused: Bools
    status: Floats
    chunks: Floats
    due: Floats
    # Gaps between the tokens of streams, and the row of each.
    gaps: Floats = field(default_factory=lambda: np.empty(0))
    gap_rows: Floats = field(default_factory=lambda: np.empty(0))

    def __len__(self) -> int:
        return len(self.sent)

    def part(self, chosen: Any) -> Seen:
        """Only these rows, by a mask or a slice."""
        places = np.arange(len(self))[chosen]
        rows = {name: getattr(self, name)[places] for name in _COLUMNS}
        new_row = {int(old): new for new, old in enumerate(places)}
        kept = np.array([int(row) in new_row for row in self.gap_rows], bool)
        moved = np.array([new_row[int(row)] for row in self.gap_rows[kept]], float)
        shapes = tuple(self.shapes[place] for place in places)
        return replace(self, shapes=shapes, gaps=self.gaps[kept], gap_rows=moved, **rows)

    def before_refusals(self) -> Seen:
        """The rows before the first refusal: after it a closed loop depends on what the client does."""
        places = np.flatnonzero(self.refused)
        return self if not len(places) else self.part(slice(0, int(places[0])))

    @property
    def failed(self) -> float:
        """The share of the requests that failed in another way than by a refusal; 1 if there were none."""
        return float((~self.ok & ~self.refused).mean()) if len(self) else 1.0

    @property
    def token_instants(self) -> Floats:
        """Instants of all tokens but the first of each stream, stream by stream."""
        owners = self.gap_rows.astype(int)
        if not len(owners):
            return np.empty(0)
        since = np.cumsum(self.gaps)
        new = np.concatenate([[True], owners[1:] != owners[:-1]])
        before = np.maximum.accumulate(np.where(new, since - self.gaps, 0.0))
        return np.asarray(self.first[owners] + since - before)

    @property
    def latency(self) -> Floats:
        """Seconds from sending to the end of the answer."""
        return self.done - self.sent


_COLUMNS = ("sent", "first", "last", "done", "ok", "refused", "status", "chunks", "due")

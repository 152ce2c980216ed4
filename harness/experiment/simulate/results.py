"""Results of a simulated case: the rows of its record files and figures computed from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.client.protocols import Gate
from harness.client.types import Outcome
from harness.measure.record.rows_file import End

Rows = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class SimulatedRun:
    """Results of a simulated case. `rows` are `REQUEST_DTYPE`, `ticks` `TIMELINE_DTYPE`, as in the record files."""

    rows: Rows
    ticks: Rows
    end: End
    seen: int  # exchanges that the server counted
    virtual_s: float
    wall_s: float
    sha256: str  # of the record files of requests and attempts
    gates: tuple[Gate | None, ...]  # each application's, as it was at the end

    def count(self, outcome: Outcome) -> int:
        """Items with this outcome."""
        return int((self.rows["outcome"] == outcome).sum())

    def ok_per_s(self, begin_s: float = 0.0, end_s: float = math.inf) -> float:
        """Successes per second that were done in a span of virtual time."""
        end_s = min(end_s, self.virtual_s)
        done = self.rows["done"][self.rows["outcome"] == Outcome.ok] / 1e9
        return float(((done >= begin_s) & (done < end_s)).sum() / max(end_s - begin_s, 1e-9))

    def service_s(self, begin_s: float = 0.0, end_s: float = math.inf) -> Rows:
        """Service times (last attempt) of successes that were done in a span of virtual time."""
        done = self.rows["done"]
        chosen = (self.rows["outcome"] == Outcome.ok) & (done >= begin_s * 1e9) & (done < min(end_s, 1e9) * 1e9)
        rows = self.rows[chosen & (self.rows["sent"] >= 0)]
        return np.asarray((rows["done"] - rows["sent"]) / 1e9)

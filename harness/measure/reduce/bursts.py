"""Answers that come together are read one after another: for how long each of them waited, at most. Pure.

Rules of this file
  1. Only the instants at which answers were read are known. While answers follow each other as fast as the client can
     read them, the later ones may have been there before.
  2. The estimate is the backlog of a single server with the client's work for a request, `SLACK` times as much, so that
     answers read at the client's full speed add their whole distance to it, and slower ones less or nothing.
  3. No answer waited for longer than its own service time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.measure.reduce.columns import Repeat, sent_itself
from harness.measure.reduce.statistics import LEAST_N, PERCENTILES, rank

Array = np.ndarray[Any, np.dtype[Any]]

SLACK = 1.5


def burst_delays_s(done_ns: Array, work_s: float) -> Array:
    """Seconds for which each answer waited for those before it, at most; `done_ns` ascending, of one process.

    `work_s` is the client's work for one request: 1 / its ceiling.
    """
    if not len(done_ns):
        return np.empty(0)
    steps = SLACK * work_s - np.diff(done_ns) / 1e9
    walk = np.concatenate(([0.0], np.cumsum(steps)))
    backlog: Array = walk - np.minimum.accumulate(walk)
    return backlog / (SLACK - 1)


def bursts(repeats: list[Repeat], ceiling_per_s: float | None) -> dict[str, float]:
    """p50 and p99 of these waits over all successes, as far as there are enough of them; empty without a ceiling."""
    if ceiling_per_s is None:
        return {}
    found = [_of_repeat(repeat, 1 / ceiling_per_s) for repeat in repeats]
    pooled = np.sort(np.concatenate(found)) if found else np.empty(0)
    return {
        name: float(pooled[rank(len(pooled), PERCENTILES[name])])
        for name in ("p50", "p99")
        if len(pooled) >= LEAST_N[name]
    }


def _of_repeat(repeat: Repeat, work_s: float) -> Array:
    rows = repeat.ok()
    rows = rows[sent_itself(rows)]
    rows = rows[np.argsort(rows["done"], kind="stable")]
    waited: Array = np.minimum(burst_delays_s(rows["done"], work_s), (rows["done"] - rows["sent"]) / 1e9)
    return waited

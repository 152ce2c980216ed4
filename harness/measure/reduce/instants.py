"""How late the requests of a replayed trace were sent. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from harness.measure.reduce.columns import Repeat
from harness.measure.reduce.statistics import rank
from harness.measure.trace_result import Instants, TraceFacts

WITHIN_S = 0.001
"""A request that is sent so late at most is sent at its instant."""


def with_instants(trace: TraceFacts | None, repeats: Sequence[Repeat]) -> TraceFacts | None:
    """The trace of a case with the instants of all its repeats."""
    if trace is None:
        return None
    sent = [repeat.rows[repeat.rows["first_sent"] >= 0] for repeat in repeats]
    if not any(len(rows) for rows in sent):
        return trace
    late_s = np.sort(np.concatenate([(rows["first_sent"] - rows["due"]) / 1e9 for rows in sent]))
    p50_s, p99_s = (float(late_s[rank(len(late_s), share)]) for share in (0.5, 0.99))
    found = Instants(len(late_s), float(np.mean(late_s <= WITHIN_S)), p50_s, p99_s, float(late_s[-1]))
    return msgspec.structs.replace(trace, instants=found)

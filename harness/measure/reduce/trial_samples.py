"""The evidence of a capacity search from one trial: latencies and failures after the warm-up, arrivals that piled up.

Rules of this file
  1. The warm-up is a fixed floor from the load's zero: requests that were due before it (in a backlog: sent before it)
     count for nothing.
  2. An item without an answer is a failure, whether or not it has a row.
  3. The growth of the backlog is the number of calls that piled up in the second half of the arrivals, as a share of
     those arrivals. Where it is lasting, no trial is long enough for a percentile to mean anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from harness.measure.record.files import find_case
from harness.measure.record.plan import PlanCase
from harness.measure.reduce import columns
from harness.measure.reduce.columns import Array, Repeat, load_repeat
from harness.measure.reduce.counting import expected
from harness.measure.reduce.streams import counted, e2e, gaps, tpot

GROWTH_ROWS_MIN = 20


@dataclass(frozen=True)
class TrialSample:
    """One trial after its warm-up. `seconds` is the whole trial."""

    scheduled: int = 0
    failed: int = 0
    seconds: float = 0.0
    completed_per_s: float | None = None
    growth: float | None = None  # None for a backlog
    values: dict[str, Array] = field(default_factory=dict[str, Any])  # seconds by family, each sorted


def samples(plan: PlanCase, directory: Path, repeat: int, warmup_s: float, parts: int = 1) -> list[TrialSample]:
    """The samples of a repeat of a case, cut into equal parts of time; none if it has no records."""
    processes = find_case(directory, plan.name, repeat).get(repeat)
    return [] if processes is None else samples_of(load_repeat(repeat, processes), plan, warmup_s, parts)


def samples_of(repeat: Repeat, plan: PlanCase, warmup_s: float, parts: int = 1) -> list[TrialSample]:
    """The samples of the rows of a repeat."""
    warmup_ns, rows = round(warmup_s * 1e9), repeat.rows
    began = np.where(rows["sent"] >= 0, rows["sent"], rows["done"]) if plan.is_backlog else rows["due"]
    last_ns = int(began.max()) + 1 if len(rows) else warmup_ns
    edges = [warmup_ns + (last_ns - warmup_ns) * part // parts for part in range(parts + 1)]
    without_row = max(expected(repeat, plan).scheduled - len(rows), 0)
    found = []
    for part, (start, end) in enumerate(pairwise(edges)):
        kept = repeat.only((began >= start) & (began < end))
        one = _sample(kept, start, without_row if part == parts - 1 else 0)
        growth = None if plan.is_backlog else _growth(rows, kept.rows)
        found.append(replace(one, growth=growth, seconds=repeat.makespan_ns / 1e9 / parts))
    return found


def _sample(kept: Repeat, start_ns: int, without_row: int) -> TrialSample:
    rows, ok = kept.rows, kept.ok()
    span_s = (int(rows["done"].max()) - start_ns) / 1e9 if len(rows) else 0.0
    return TrialSample(
        scheduled=len(rows) + without_row,
        failed=len(rows) - len(ok) + without_row,
        completed_per_s=len(ok) / span_s if span_s > 0 else None,
        values=_values(kept),
    )


def _growth(rows: Array, kept: Array) -> float | None:
    """Calls in the system at the last arrival minus those at the middle, per arrival of the second half."""
    if len(kept) < GROWTH_ROWS_MIN:
        return None
    begin, end = int(kept["due"].min()), int(kept["due"].max())
    middle = (begin + end) // 2

    def present(at: int) -> int:
        return int(((rows["due"] <= at) & (rows["done"] > at)).sum())

    later = int((kept["due"] > middle).sum())
    return (present(end) - present(middle)) / later if later else None


def _values(kept: Repeat) -> dict[str, Array]:
    ok = kept.ok()
    wired = columns.chosen(ok, columns.was_sent(ok))
    streams = wired[(wired["chunks"] > 0) & (wired["first_byte"] >= 0)]
    part = counted(kept)
    each = tpot(part.rows, part.tokens["output"])
    found = {
        "": columns.latency(ok),
        "service_": columns.service_time(wired),
        "queue_wait_": columns.queue_wait(ok),
        "ttft_": streams["first_byte"] - streams["sent"],
        "itl_": gaps(kept),
        "tpot_": each[each >= 0],
        "e2e_": e2e(wired),
    }
    return {name: np.sort(values) / 1e9 for name, values in found.items()}

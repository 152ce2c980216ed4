"""The latencies of a case: over all its repeats, and for each repeat alone. Pure functions of the rows.

The times of language models are defined in `streams`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.client.types import Outcome
from harness.measure.judge.slo import Bounds
from harness.measure.record.rows_file import FLAG_STOPPED
from harness.measure.reduce import columns
from harness.measure.reduce.columns import Array, Repeat
from harness.measure.reduce.statistics import LEAST_N, PERCENTILES, distribution, quantile
from harness.measure.reduce.streams import counted, e2e, gaps, mean_gap, outputs, total, tpot
from harness.measure.repeat_figures import Points, RepeatFigures


def distributions(repeats: Sequence[Repeat], backlog: bool, factor: float = 1.0) -> dict[str, Any]:
    """Latency and its parts, and for streams TTFT and ITL, all of successes.

    A backlog is one job with a beginning and an end: its percentiles describe that job, and have no effective n.
    `factor` widens the intervals.
    """
    parts = [_parts(repeat) for repeat in repeats]
    sequences = frozenset[str]() if backlog else _SEQUENCES
    found = {
        name: distribution([part[name] for part in parts], name in sequences, factor) for name in _ALWAYS + _OF_STREAMS
    }
    return {name: one for name, one in found.items() if name in _ALWAYS or one.n}


_ALWAYS = ("latency_s", "service_time_s", "queue_wait_s", "retry_time_s", "lag_s")
_OF_STREAMS = ("ttft_s", "itl_s", "tpot_s", "e2e_s")
_SEQUENCES = frozenset({"latency_s", "service_time_s", *_OF_STREAMS})
"""Quantities that server and queue decide. Under arrivals they have an effective n."""


def _parts(repeat: Repeat) -> dict[str, Array]:
    """The quantities of one repeat in ns, those of _SEQUENCES in order of time.

    Requests that were never sent have no service time.
    """
    ok = repeat.ok()
    wired = columns.chosen(ok, columns.was_sent(ok))
    streams = _streams(ok)
    return {
        "latency_s": columns.latency(ok)[_order(ok, "due")],
        "service_time_s": columns.service_time(wired)[_order(wired, "sent")],
        "queue_wait_s": columns.queue_wait(ok),
        "retry_time_s": columns.retry_time(wired),
        "lag_s": columns.lag(ok),
        "ttft_s": (streams["first_byte"] - streams["sent"])[_order(streams, "sent")],
        "itl_s": gaps(repeat),
        **_of_tokens(repeat),
    }


def _of_tokens(repeat: Repeat) -> dict[str, Array]:
    """TPOT and E2E of the successes that have tokens."""
    part = counted(repeat)
    order = _order(part.rows, "sent")
    rows, output = part.rows[order], part.tokens["output"][order]
    each = tpot(rows, output)
    return {"tpot_s": each[each >= 0], "e2e_s": e2e(rows)}


def _streams(ok: Array) -> Array:
    """The successes that came as a stream."""
    return columns.chosen(ok, columns.was_sent(ok) & (ok["chunks"] > 0) & (ok["first_byte"] >= 0))


def ttft(ok: Array) -> Array:
    """Time to the first token of the streams among these successes, in ns."""
    streams = _streams(ok)
    first: Array = streams["first_byte"] - streams["sent"]
    return first


def _order(rows: Array, instant: str) -> Array:
    return np.argsort(rows[instant], kind="stable")


def by_repeat(repeat: Repeat, scheduled: int, bounds: Bounds, begins_ns: int = 0) -> RepeatFigures:
    """The figures of one repeat alone. Latencies and rates are of what was due from `begins_ns` on."""
    counted_part = repeat.after(begins_ns)
    parts, makespan_s = _parts(counted_part), repeat.makespan_ns / 1e9
    ok, good, counted_s = len(parts["latency_s"]), within(counted_part, bounds), makespan_s - begins_ns / 1e9
    made = total(counted_part, "output")
    return RepeatFigures(
        repeat=repeat.number,
        scheduled=scheduled,
        ok=len(repeat.ok()),
        warmup_s=begins_ns / 1e9,
        ok_in_warmup=len(repeat.ok()) - ok,
        stopped=int(((repeat.rows["flags"] & FLAG_STOPPED) > 0).sum()),
        makespan_s=makespan_s or None,
        completed_per_s=ok / counted_s if counted_s > 0 else None,
        goodput_per_s=good / counted_s if counted_s > 0 else None,
        good=good,
        latency_s=points(parts["latency_s"]),
        service_time_s=points(parts["service_time_s"]),
        ttft_s=points(parts["ttft_s"]) if len(parts["ttft_s"]) else None,
        itl_s=points(parts["itl_s"]) if len(parts["itl_s"]) else None,
        tpot_s=points(parts["tpot_s"]) if len(parts["tpot_s"]) else None,
        e2e_s=points(parts["e2e_s"]) if len(parts["e2e_s"]) else None,
        output_tokens=made,
        prompt_tokens=total(counted_part, "prompt"),
        output_tokens_per_s=made / counted_s if made is not None and counted_s > 0 else None,
    )


def points(values: Array) -> Points:
    """Percentiles of nanoseconds, in seconds."""
    if not len(values):
        return Points()
    ordered = np.sort(values)
    found = {name: quantile(ordered, p, LEAST_N[name]).value for name, p in PERCENTILES.items()}
    return Points(mean=float(np.mean(ordered, dtype=np.float64)) / 1e9, max=float(ordered[-1]) / 1e9, **found)


def within(repeat: Repeat, bounds: Bounds) -> int:
    """Number of successes within all of the SLO's bounds for one request; all of them without bounds."""
    rows = repeat.rows
    good, streamed = rows["outcome"] == Outcome.ok, rows["chunks"] > 0
    if bounds.latency is not None:
        good &= columns.latency(rows) <= bounds.latency * 1e9
    if bounds.ttft is not None:
        good &= streamed & (rows["first_byte"] - rows["sent"] <= bounds.ttft * 1e9)
    if bounds.itl is not None:
        # A stream with one event has no gap.
        good &= streamed & ((rows["chunks"] == 1) | (mean_gap(rows) <= bounds.itl * 1e9))
    if bounds.tpot is not None:
        # A stream without a second token, or with one event, has no time per token.
        good &= streamed & (tpot(rows, outputs(repeat)) <= bounds.tpot * 1e9)
    if bounds.e2e is not None:
        good &= columns.was_sent(rows) & (e2e(rows) <= bounds.e2e * 1e9)
    return int(good.sum())

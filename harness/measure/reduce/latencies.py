"""The latencies of a case: over all its repeats, and for each repeat alone. Pure functions of the rows.

TTFT is the time from the last attempt's `sent` to the first content event. It excludes lag, queue wait and retry time.
ITL is one mean per stream: (last - first) / (events - 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.measure.judge.slo import Bounds
from harness.measure.reduce import columns
from harness.measure.reduce.columns import Array, Repeat
from harness.measure.reduce.statistics import LEAST_N, PERCENTILES, distribution, quantile
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
_OF_STREAMS = ("ttft_s", "itl_s")
_SEQUENCES = frozenset({"latency_s", "service_time_s", *_OF_STREAMS})
"""Quantities that server and queue decide. Under arrivals they have an effective n."""


def _parts(repeat: Repeat) -> dict[str, Array]:
    """The quantities of one repeat in ns, those of _SEQUENCES in order of time.

    Requests that were never sent have no service time.
    """
    ok = repeat.ok()
    wired = columns.chosen(ok, columns.was_sent(ok))
    streams = columns.chosen(wired, (wired["chunks"] > 0) & (wired["first_byte"] >= 0))
    several = columns.chosen(streams, (streams["chunks"] > 1) & (streams["last_chunk"] >= 0))
    return {
        "latency_s": columns.latency(ok)[_order(ok, "due")],
        "service_time_s": columns.service_time(wired)[_order(wired, "sent")],
        "queue_wait_s": columns.queue_wait(ok),
        "retry_time_s": columns.retry_time(wired),
        "lag_s": columns.lag(ok),
        "ttft_s": (streams["first_byte"] - streams["sent"])[_order(streams, "sent")],
        "itl_s": _itl(several)[_order(several, "sent")],
    }


def _order(rows: Array, instant: str) -> Array:
    return np.argsort(rows[instant], kind="stable")


def _itl(rows: Array) -> Array:
    gaps: Array = (rows["last_chunk"] - rows["first_byte"]) / (np.maximum(rows["chunks"], 2) - 1.0)
    return gaps.round().astype(np.int64)


def by_repeat(repeat: Repeat, scheduled: int, bounds: Bounds, begins_ns: int = 0) -> RepeatFigures:
    """The figures of one repeat alone. Latencies and rates are of what was due from `begins_ns` on."""
    counted = repeat.after(begins_ns)
    parts, makespan_s = _parts(counted), repeat.makespan_ns / 1e9
    ok, good, counted_s = len(parts["latency_s"]), within(counted, bounds), makespan_s - begins_ns / 1e9
    return RepeatFigures(
        repeat=repeat.number,
        scheduled=scheduled,
        ok=len(repeat.ok()),
        warmup_s=begins_ns / 1e9,
        ok_in_warmup=len(repeat.ok()) - ok,
        makespan_s=makespan_s or None,
        completed_per_s=ok / counted_s if counted_s > 0 else None,
        goodput_per_s=good / counted_s if counted_s > 0 else None,
        good=good,
        latency_s=_points(parts["latency_s"]),
        service_time_s=_points(parts["service_time_s"]),
        ttft_s=_points(parts["ttft_s"]) if len(parts["ttft_s"]) else None,
        itl_s=_points(parts["itl_s"]) if len(parts["itl_s"]) else None,
    )


def _points(values: Array) -> Points:
    if not len(values):
        return Points()
    ordered = np.sort(values)
    found = {name: quantile(ordered, p, LEAST_N[name]).value for name, p in PERCENTILES.items()}
    return Points(mean=float(np.mean(ordered, dtype=np.float64)) / 1e9, max=float(ordered[-1]) / 1e9, **found)


def within(repeat: Repeat, bounds: Bounds) -> int:
    """Number of successes within the SLO's bounds for one request; all of them without bounds."""
    latency_s, ttft_s, itl_s = bounds
    ok = repeat.ok()
    good = np.ones(len(ok), bool)
    if latency_s is not None:
        good &= columns.latency(ok) <= latency_s * 1e9
    if ttft_s is not None:
        good &= (ok["chunks"] > 0) & (ok["first_byte"] - ok["sent"] <= ttft_s * 1e9)
    if itl_s is not None:
        # A stream with one event has no gap.
        alone = ok["chunks"] == 1
        good &= alone | ((ok["chunks"] > 1) & (_itl(ok) <= itl_s * 1e9))
    return int(good.sum())

"""The timeline of a run: requests in flight, and the time slices from which charts are drawn. Pure."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from harness.client.types import Outcome
from harness.measure.reduce.column_rows import pieces
from harness.measure.reduce.columns import ProcessColumns, Repeat, chosen, exchanges, latency, service_time, was_sent
from harness.measure.reduce.token_arrivals import output_tokens
from harness.measure.result import Bucket, InFlight

Array = np.ndarray[Any, np.dtype[Any]]

BUCKETS_MAX = 120
P99_LEAST = 100
"""A slice with fewer values has no p99, because it would be their maximum."""
_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)


def in_flight(starts: Array, ends: Array, makespan_ns: int) -> InFlight:
    """Time average and peak of in-flight attempts; sorts the arrays. At one instant, ends count before starts."""
    if not len(starts) or makespan_ns <= 0:
        return InFlight()
    starts.sort()
    ends.sort()
    peak, total = 1, 0.0
    for piece in pieces(len(starts)):
        part = starts[piece]
        begun = np.arange(piece.start + 1, piece.start + 1 + len(part))
        peak = max(peak, int((begun - np.searchsorted(ends, part, "right")).max()))
        # Sorting starts and ends separately does not change the sum.
        total += float((ends[piece] - part).sum(dtype=np.float64))
    return InFlight(total / makespan_ns, peak)


def width_s(makespan_s: float) -> float:
    """A round width that cuts the run into 60 to 120 buckets."""
    least = makespan_s / BUCKETS_MAX
    unit = 10.0 ** math.floor(math.log10(least))
    return next(round(nice * unit, 12) for nice in _NICE if nice * unit >= least * (1 - 1e-9))


def buckets(repeat: Repeat) -> list[Bucket]:
    """The slices of one repeat, from its rows and its processes' ticks.

    `due`, `sent`, `ok` and `failed` are each counted at their own instant. Latency is of the successes due in a slice,
    service time of the successes done in it. A p99 needs P99_LEAST values; a median needs one, as it is only drawn.
    """
    if not len(repeat.rows):
        return []
    makespan_s = repeat.makespan_ns / 1e9
    width = width_s(makespan_s)
    count = max(1, math.ceil(makespan_s / width - 1e-9))
    # A bucket of a simulated run may be shorter than a nanosecond.
    width_ns = max(1, round(width * 1e9))

    def place(instants: Array) -> Array:
        places = np.empty(len(instants), np.uint8)
        for piece in pieces(len(instants)):
            places[piece] = np.clip(instants[piece] // width_ns, 0, count - 1)
        return places

    def tally(instants: Array) -> list[int]:
        counts: list[int] = np.bincount(place(instants), minlength=count).tolist()
        return counts

    rows, ok = repeat.rows, repeat.ok()
    sent_ok = chosen(ok, was_sent(ok))
    failed = rows[rows["outcome"] != Outcome.ok]
    columns: dict[str, list[Any]] = {
        "due": tally(rows["due"]),
        "sent": tally(rows["first_sent"][rows["first_sent"] >= 0]),
        "ok": tally(ok["done"]),
        "failed": tally(failed["done"]),
        "in_flight": _time_average(*exchanges(repeat), width_ns, count),
    }
    columns |= _quantiles("latency", latency(ok), place(ok["due"]), count)
    columns |= _quantiles("service", service_time(sent_ok), place(sent_ok["done"]), count)
    columns |= _ticks(repeat.processes, width, count)
    columns["output_tokens"] = output_tokens(repeat, width, count) or [None] * count
    names = list(columns)
    return [
        Bucket(t_s=round(number * width, 9), width_s=width, **dict(zip(names, values, strict=True)))
        for number, values in enumerate(zip(*columns.values(), strict=True))
    ]


def _time_average(starts: Array, ends: Array, width_ns: int, count: int) -> list[float]:
    """In-flight averaged over each slice: what has started before it or in it, less what has ended."""

    def present(instants: Array) -> Array:
        """The time within each slice after these instants, summed over them."""
        earlier, within = np.zeros(count), np.zeros(count)
        for piece in pieces(len(instants)):
            places = np.clip(instants[piece] // width_ns, 0, count - 1)
            left = np.clip((places + 1) * width_ns - instants[piece], 0, width_ns)
            earlier += np.bincount(places, minlength=count)
            within += np.bincount(places, left, count)
        total: Array = (np.cumsum(earlier) - earlier) * width_ns + within
        return total

    average = (present(starts) - present(ends)) / width_ns
    return [round(max(value, 0.0), 6) for value in average.tolist()]


def _quantiles(name: str, values: Array, places: Array, count: int) -> dict[str, list[float | None]]:
    """The nearest-rank p50 and p99 of each slice in seconds; None where it has too few values."""
    order = np.argsort(places, kind="stable")
    values = values[order]
    edges = np.concatenate([[0], np.cumsum(np.bincount(places, minlength=count))])
    found: dict[str, list[float | None]] = {}
    for p, label, least in ((0.5, "p50", 1), (0.99, "p99", P99_LEAST)):
        of_slices = [_quantile(values[begin:end], p, least) for begin, end in pairwise(edges.tolist())]
        found[f"{name}_{label}_s"] = of_slices
    return found


def _quantile(values: Array, p: float, least: int) -> float | None:
    if len(values) < least:
        return None
    place = max(math.ceil(p * len(values) - 1e-9), 1) - 1
    return float(np.partition(values, place)[place]) / 1e9


def _ticks(processes: list[ProcessColumns], width: float, count: int) -> dict[str, list[float | None]]:
    """Limit, CPU, memory and loop lag of each slice: sums over processes, except the lag, which is the maximum."""
    limit, cpu, rss, late = (np.full(count, np.nan) for _ in range(4))
    edges = np.arange(count + 1) * width
    middles = edges[:-1] + width / 2
    for process in processes:
        ticks = process.timeline
        if not len(ticks):
            continue
        limited = ticks[~np.isnan(ticks["limit"])]
        if len(limited):
            latest = np.searchsorted(limited["t"], middles, "right") - 1
            limit = _add(limit, limited["limit"][np.maximum(latest, 0)])
        cpu = _add(cpu, np.diff(np.interp(edges, ticks["t"], ticks["cpu"])) / width)
        rss = _add(rss, np.interp(edges[1:], ticks["t"], ticks["rss"]) / 1e6)
        places = np.clip((ticks["t"] / width).astype(np.int64), 0, count - 1)
        worst = np.full(count, -np.inf)
        np.maximum.at(worst, places, ticks["loop_lag"])
        late = np.fmax(late, np.where(np.isinf(worst), np.nan, worst))
    named = {"limit": limit, "cpu_share": cpu, "rss_mb": rss, "loop_lag_s": late}
    return {name: [None if math.isnan(x) else round(x, 6) for x in column.tolist()] for name, column in named.items()}


def _add(total: Array, part: Array) -> Array:
    summed: Array = np.where(np.isnan(total), part, total + part)
    return summed

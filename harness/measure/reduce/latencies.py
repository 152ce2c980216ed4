"""The latencies of a case: over all its repeats, and for each repeat alone. Pure functions of the rows.

The times of language models are defined in `streams`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from harness.client.types import Outcome
from harness.measure.judge.slo import RequestBounds
from harness.measure.record.rows_file import FLAG_STOPPED
from harness.measure.reduce import columns
from harness.measure.reduce.column_rows import in_order
from harness.measure.reduce.columns import Array, Repeat
from harness.measure.reduce.statistics import LEAST_N, PERCENTILES, distribution, quantile
from harness.measure.reduce.streams import e2e, gaps, in_order_of_sending, mean_gap, outputs, total, tpot
from harness.measure.repeat_figures import Points, RepeatFigures


def distributions(repeats: Sequence[Repeat], backlog: bool, factor: float = 1.0) -> dict[str, Any]:
    """Latency and its parts, and for streams TTFT and ITL, all of successes.

    A backlog is one job with a beginning and an end: its percentiles describe that job, and have no effective n.
    `factor` widens the intervals.
    """
    parts = [_Parts(repeat) for repeat in repeats]
    sequences = frozenset[str]() if backlog else _SEQUENCES
    found = {
        name: distribution([part.of(name) for part in parts], name in sequences, factor)
        for name in _ALWAYS + _OF_STREAMS
    }
    return {name: one for name, one in found.items() if name in _ALWAYS or one.n}


_ALWAYS = ("latency_s", "service_time_s", "queue_wait_s", "retry_time_s", "lag_s")
_OF_STREAMS = ("ttft_s", "itl_s", "tpot_s", "e2e_s")
_SEQUENCES = frozenset({"latency_s", "service_time_s", *_OF_STREAMS})
"""Quantities that server and queue decide. Under arrivals they have an effective n."""


class _Parts:
    """The quantities of one repeat in ns, those of _SEQUENCES in order of time.

    Each is computed when it is asked for and not kept, of a few columns, so that a long repeat needs the memory of one.
    The rows of requests that were sent are kept: a mask, where the rows are in files.
    """

    def __init__(self, repeat: Repeat) -> None:
        self._repeat = repeat
        self._ok = repeat.ok()

    def of(self, name: str) -> Array:
        """The quantity of this name. Requests that were never sent have no service time."""
        found: Array = getattr(self, f"_{name}")()
        return found

    @cached_property
    def _wired(self) -> Array:
        return columns.chosen(self._ok, columns.was_sent(self._ok))

    def _latency_s(self) -> Array:
        return in_order(self._ok["due"], columns.latency(self._ok))

    def _service_time_s(self) -> Array:
        return in_order(self._wired["sent"], columns.service_time(self._wired))

    def _queue_wait_s(self) -> Array:
        return columns.queue_wait(self._ok)

    def _retry_time_s(self) -> Array:
        return columns.retry_time(self._wired)

    def _lag_s(self) -> Array:
        return columns.lag(self._ok)

    def _ttft_s(self) -> Array:
        streams = _streams(self._ok)
        return in_order(streams["sent"], streams["first_byte"] - streams["sent"])

    def _itl_s(self) -> Array:
        return gaps(self._repeat)

    def _tpot_s(self) -> Array:
        each = tpot(*in_order_of_sending(self._repeat, ("first_byte", "last_chunk", "chunks")))
        return each[each >= 0]

    def _e2e_s(self) -> Array:
        return e2e(in_order_of_sending(self._repeat, ("sent", "last_chunk", "done"))[0])


def _streams(ok: Array) -> Array:
    """The successes that came as a stream."""
    return columns.chosen(ok, columns.was_sent(ok) & (ok["chunks"] > 0) & (ok["first_byte"] >= 0))


def ttft(ok: Array) -> Array:
    """Time to the first token of the streams among these successes, in ns."""
    streams = _streams(ok)
    first: Array = streams["first_byte"] - streams["sent"]
    return first


def by_repeat(repeat: Repeat, scheduled: int, bounds: RequestBounds, begins_ns: int = 0) -> RepeatFigures:
    """The figures of one repeat alone. Latencies and rates are of what was due from `begins_ns` on."""
    counted_part = repeat.after(begins_ns)
    parts, makespan_s = _Parts(counted_part), repeat.makespan_ns / 1e9
    found = {name: points(parts.of(name)) for name in _ALWAYS[:2]}
    found |= {name: points(values) for name in _OF_STREAMS if len(values := parts.of(name))}
    all_ok, ok, good = len(repeat.ok()), len(counted_part.ok()), within(counted_part, bounds)
    counted_s, made = makespan_s - begins_ns / 1e9, total(counted_part, "output")
    return RepeatFigures(
        repeat=repeat.number,
        scheduled=scheduled,
        ok=all_ok,
        warmup_s=begins_ns / 1e9,
        ok_in_warmup=all_ok - ok,
        stopped=int(((repeat.rows["flags"] & FLAG_STOPPED) > 0).sum()),
        makespan_s=makespan_s or None,
        completed_per_s=ok / counted_s if counted_s > 0 else None,
        goodput_per_s=good / counted_s if counted_s > 0 else None,
        good=good,
        output_tokens=made,
        prompt_tokens=total(counted_part, "prompt"),
        output_tokens_per_s=made / counted_s if made is not None and counted_s > 0 else None,
        **found,
    )


def points(values: Array) -> Points:
    """Percentiles of nanoseconds, in seconds."""
    if not len(values):
        return Points()
    ordered = np.sort(values)
    found = {name: quantile(ordered, p, LEAST_N[name]).value for name, p in PERCENTILES.items()}
    return Points(mean=float(np.mean(ordered, dtype=np.float64)) / 1e9, max=float(ordered[-1]) / 1e9, **found)


def within(repeat: Repeat, bounds: RequestBounds) -> int:
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

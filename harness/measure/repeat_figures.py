"""The figures of single repeats, as they stand in result.json."""

from __future__ import annotations

import msgspec


class Points(msgspec.Struct, frozen=True):
    """Percentiles of one repeat in seconds, without intervals; null where n is too small or there is no value."""

    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    p99_9: float | None = None
    mean: float | None = None
    max: float | None = None


class RepeatFigures(msgspec.Struct, frozen=True):
    """The figures of one repeat. The repeat is the sampling unit of intervals and comparisons."""

    repeat: int
    scheduled: int
    ok: int
    makespan_s: float | None = None
    completed_per_s: float | None = None
    goodput_per_s: float | None = None
    latency_s: Points = Points()
    service_time_s: Points = Points()
    ttft_s: Points | None = None
    itl_s: Points | None = None
    tpot_s: Points | None = None
    e2e_s: Points | None = None
    output_tokens: int | None = None  # of successes after the warm-up; null: not known
    prompt_tokens: int | None = None
    output_tokens_per_s: float | None = None
    good: int = 0  # successes within the bounds of the SLO for one request
    warmup_s: float = 0.0  # its start that does not count: latencies, rates and `good` are of what follows
    ok_in_warmup: int = 0  # of `ok`
    stopped: int = 0  # streams that the client ended on purpose

"""What the servers cost and how true their times are: `pytest tests/bench/test_server_bench.py --benchmark-only -s`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from random import Random
from statistics import fmean, quantiles
from typing import Any

import pytest
import uvloop

from model_server.scheduling.batching import BatchPolicy, BatchQueue
from model_server.work import Work
from tests.bench.wire import closed_loop, mock, request
from tests.server_helpers import PAIR, call, null_app

Benchmark = Any


def once(benchmark: Benchmark, measure: Callable[[], Any]) -> Any:
    return benchmark.pedantic(measure, rounds=1, iterations=1)


def test_null_answers_twelve_thousand_requests_a_second_and_core(benchmark: Benchmark) -> None:
    with mock("null") as (port, process):
        message = request("/similarity", PAIR)
        uvloop.run(closed_loop(port, message, 32, 0.5))
        before = sum(process.cpu_times()[:2])
        latencies, _, seconds = once(benchmark, lambda: uvloop.run(closed_loop(port, message, 32, 3.0)))
        cpu = sum(process.cpu_times()[:2]) - before
    per_core = len(latencies) / cpu
    print(f"\nnull: {len(latencies) / seconds:,.0f} requests/s, {per_core:,.0f} per second of server CPU")
    benchmark.extra_info["requests_per_core_second"] = round(per_core)
    assert per_core >= 12_000


@pytest.mark.parametrize("in_flight", [1, 1000])
def test_constant_120ms_is_120_ms(benchmark: Benchmark, in_flight: int) -> None:
    with mock("constant-120ms") as (port, _):
        message = request("/similarity", PAIR)
        run = closed_loop(port, message, in_flight, 3.0, spread_s=0.4 if in_flight > 1 else 0)
        latencies, _, seconds = once(benchmark, lambda: uvloop.run(run))
    mean_ms, p99_ms = fmean(latencies) * 1e3, quantiles(latencies, n=100)[98] * 1e3
    print(f"\n{in_flight} in flight: mean {mean_ms:.2f} ms, p99 {p99_ms:.2f} ms, {len(latencies) / seconds:,.0f}/s")
    benchmark.extra_info.update(mean_ms=round(mean_ms, 2), p99_ms=round(p99_ms, 2))
    if in_flight == 1:
        assert mean_ms == pytest.approx(120, abs=1.5)


def test_a_hundred_streams_keep_their_token_times(benchmark: Benchmark) -> None:
    with mock("constant-120ms") as (port, _):
        message = request("/annotate", {"text": "one two", "max_tokens": 60, "stream": True})
        run = closed_loop(port, message, 100, 2.0, end=b"[DONE]\n\n\r\n0\r\n\r\n", event=b'{"text"', spread_s=0.1)
        _, stamps, _ = once(benchmark, lambda: uvloop.run(run))
    for name, times, true_ms in (
        ("TTFT", [events[0] for events in stamps], 120),
        ("ITL", [right - left for events in stamps for left, right in pairwise(events)], 20),
    ):
        mean_ms = fmean(times) * 1e3
        p99_ms = quantiles([abs(seconds * 1e3 - true_ms) for seconds in times], n=100)[98]
        error = abs(mean_ms / true_ms - 1)
        print(f"\n{name}: mean {mean_ms:.3f} ms ({error:.2%} off), p99 of the error {p99_ms:.3f} ms, n={len(times)}")
        benchmark.extra_info[name] = {"mean_ms": round(mean_ms, 3), "error_p99_ms": round(p99_ms, 3)}
        assert error < 0.02


def test_one_exchange_in_process(benchmark: Benchmark) -> None:
    app = null_app()
    with asyncio.Runner() as runner:
        benchmark(lambda: runner.run(call(app, "/similarity", PAIR)))


def test_one_pop_of_sixteen_from_a_thousand(benchmark: Benchmark) -> None:
    rng = Random(1)

    def filled() -> tuple[tuple[BatchQueue[Work]], dict[str, Any]]:
        queue: BatchQueue[Work] = BatchQueue(BatchPolicy(16, 2048, 16))
        for _ in range(1000):
            work = Work("embed", ())
            work.tokens = int(rng.lognormvariate(3.5, 0.8)) + 1
            queue.push(work)
        return (queue,), {}

    benchmark.pedantic(lambda queue: queue.pop(0.0), setup=filled, rounds=200)

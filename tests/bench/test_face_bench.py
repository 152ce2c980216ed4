"""What the HTTP face keeps to, seen by our own client: `pytest tests/bench/test_face_bench.py --benchmark-only -s`."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import fmean, median, quantiles
from typing import Any

import pytest
import uvloop

from harness.client.tasks.annotate import Annotate
from harness.client.tasks.similarity import Similarity
from harness.client.transport.async_http import HttpTransport
from harness.client.types import Item, Outcome, Response
from model_server.scheduling.batching import BatchPolicy, BatchQueue
from model_server.work import Work
from tests.bench.wire import closed_loop, mock, request
from tests.server_helpers import PAIR

Benchmark = Any


def once(benchmark: Benchmark, measure: Callable[[], Any]) -> Any:
    return benchmark.pedantic(measure, rounds=1, iterations=1)


def p99(values: list[float]) -> float:
    return quantiles(values, n=100)[98]


async def streams(port: int, count: int, tokens: int) -> list[Response]:
    """So many streams at once, each on a connection that is open already; they begin one after another in a second."""
    first, task = Annotate(1, stream=True), Annotate(tokens, stream=True)
    async with HttpTransport(f"http://127.0.0.1:{port}") as send:

        async def one(index: int) -> Response:
            await asyncio.sleep(index / count)
            await send(first.request([Item(0, "warm up", first)]))
            return await send(task.request([Item(index, f"tell me {index}", task)]))

        return list(await asyncio.gather(*[one(index) for index in range(count)]))


def test_what_our_client_measures_of_a_hundred_streams_is_what_the_server_does(benchmark: Benchmark) -> None:
    gc.collect()
    gc.freeze()  # as `paceline` does: looking through all that pytest has loaded stalls the client for 40 ms
    with mock("constant-120ms") as (port, _):
        answers = once(benchmark, lambda: uvloop.run(streams(port, 100, 100)))
    assert all(answer.outcome is Outcome.ok and len(answer.chunks) == 100 for answer in answers)
    ttft = [answer.first_byte - answer.sent for answer in answers]
    itl = [right - left for answer in answers for left, right in pairwise(answer.chunks)]
    per_stream = [(answer.chunks[-1] - answer.chunks[0]) / 99 for answer in answers]
    for name, times, true_ms in (("TTFT", ttft, 120), ("ITL", itl, 20), ("TPOT of a stream", per_stream, 20)):
        errors = [abs(seconds * 1e3 - true_ms) for seconds in times]
        mean_error = abs(fmean(times) * 1e3 / true_ms - 1)
        print(
            f"\n{name}: mean {fmean(times) * 1e3:.3f} ms ({mean_error:.2%} off), p99 of the error {p99(errors):.3f} ms"
        )
        benchmark.extra_info[name] = {"mean_error": round(mean_error, 5), "error_p99_ms": round(p99(errors), 3)}
        assert mean_error < 0.02


def test_two_hundred_thousand_requests_leave_memory_as_it_was(benchmark: Benchmark) -> None:
    with mock("null") as (port, process):
        work = [request("/similarity", PAIR), request("/similarity", {"text1": 1})]
        resident: list[float] = []

        async def run(seconds: float) -> int:
            done = [await closed_loop(port, message, 32, seconds / 2) for message in work]
            return sum(len(latencies) for latencies, _, _ in done)

        def measure() -> int:
            total = 0
            while total < 200_000:
                total += uvloop.run(run(2.0))
                resident.append(process.memory_info().rss / 1e6)
            return total

        total = once(benchmark, measure)
        files = process.num_fds()
    grown = resident[-1] - resident[0]
    print(
        f"\n{total:,} requests: {resident[0]:.1f} MB after the first, {resident[-1]:.1f} MB at the end, {files} files"
    )
    benchmark.extra_info.update(requests=total, grown_mb=round(grown, 2))
    assert grown < 5
    assert files < 40


OVERLOADED = """
[service]
base_s = 0.02
[capacity]
workers = 1
batch_max_items = 4
queue_wait_max_s = 0.25
"""


async def overload(port: int, rate_per_s: float, seconds: float) -> list[tuple[float, Response]]:
    """Poisson arrivals whatever the answers: when each was sent, and what came of it."""
    task, rng, loop = Similarity(), Random(7), asyncio.get_running_loop()
    async with HttpTransport(f"http://127.0.0.1:{port}") as send:

        async def one() -> tuple[float, Response]:
            answer = await send(task.request([Item(0, task.parse(PAIR), task)]))
            return answer.sent, answer

        tasks, due, begun = [], 0.0, loop.time()
        while due < seconds:
            await asyncio.sleep(max(0.0, begun + due - loop.time()))
            tasks.append(asyncio.create_task(one()))
            due += rng.expovariate(rate_per_s)
        return sorted(await asyncio.gather(*tasks), key=lambda entry: entry[0])


def queue_s(answer: Response) -> float:
    """What the server says the request waited."""
    return float((answer.server_timing or "").split("queue;dur=")[1].split(",")[0]) / 1e3


def test_at_three_times_capacity_the_accepted_stay_within_the_bound(benchmark: Benchmark, tmp_path: Path) -> None:
    profile = tmp_path / "overloaded.toml"
    profile.write_text(OVERLOADED)
    with mock(str(profile)) as (port, _):
        entries = once(benchmark, lambda: uvloop.run(overload(port, 600, 6.0)))
    entries = entries[len(entries) // 10 :]  # the rate is learned from the first batches
    accepted = [answer for _, answer in entries if answer.outcome is Outcome.ok]
    refused = [answer for _, answer in entries if answer.outcome is Outcome.rejected]
    assert len(accepted) + len(refused) == len(entries)
    latencies = [answer.done - answer.sent for answer in accepted]
    refusals = [answer.done - answer.sent for answer in refused]
    wait_s = median([queue_s(answer) for answer in accepted])  # what the backlog that a refused one met really took
    errors = [abs((answer.retry_after_s or 0.0) / wait_s - 1) for answer in refused]
    off_p95 = quantiles(errors, n=20)[18]
    for what, times in (("accepted", latencies), ("refused", refusals)):
        rate = len(times) / 5.4
        print(f"\n{what} {rate:.0f}/s: p50 {median(times) * 1e3:.2f} ms, p99 {p99(times) * 1e3:.2f} ms")
    print(f"Retry-After off by {median(errors):.0%} (p50), {off_p95:.0%} (p95)")
    benchmark.extra_info.update(accepted_p99_ms=round(p99(latencies) * 1e3, 1), retry_after_error=median(errors))
    assert p99(latencies) < 0.25 + 0.02 + 0.05
    assert off_p95 < 0.5


@pytest.mark.parametrize(("overhead", "us_max"), [(0.0, 100.0), (42.0, 300.0)])
def test_one_pop_from_a_window_of_sixty_four(benchmark: Benchmark, overhead: float, us_max: float) -> None:
    """A batch computes for 10 ms and more: choosing it may take 1 % of that, or 3 % where lengths are weighed."""
    rng = Random(1)

    def filled() -> tuple[tuple[BatchQueue[Work]], dict[str, Any]]:
        queue: BatchQueue[Work] = BatchQueue(BatchPolicy(16, 0, 16, overhead_tokens=overhead))
        for _ in range(200):
            work = Work("embed", ())
            work.tokens = min(256, int(rng.lognormvariate(3.8, 0.8)) + 1)
            queue.push(work)
        return (queue,), {}

    benchmark.pedantic(lambda queue: queue.pop(0.0), setup=filled, rounds=200)
    assert benchmark.stats.stats.median <= us_max * 1e-6

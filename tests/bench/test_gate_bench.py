"""What the gate and a limit cost an attempt together: plain, learning, paced, and with headers to read."""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.gate.size import Sizes, work_of
from harness.client.limits.fixed import Fixed
from harness.client.limits.knee import Knee
from harness.client.types import Limit, Outcome, Request, Response, Send
from harness.experiment.event_loop import new_event_loop
from tests.bench.test_client_bench import CALLS, REQUEST, calls

SILENT = CIMultiDictProxy(
    CIMultiDict({"Date": "x", "Content-Type": "application/json", "Content-Length": "25", "Server-Timing": "a"})
)
TELLING = CIMultiDictProxy(
    CIMultiDict({**SILENT, "x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "57"})
)


# The goal is 5; a limit that learns misses it, and is allowed twice that.
LINE_US_MAX = {"fixed": 5.0, "knee": 10.0}


class Paced(Knee):
    """A limit that also paces, here so fast that nobody waits."""

    rate_per_s = 1e8


class Sized(Knee):
    """A limit that asks for sizes."""

    uses_work = True


def answering(headers: CIMultiDictProxy[str] | None = None) -> Send:
    """Each answer later than the last, so that a limit learns as it does in life."""
    at = 0.0

    async def inner(request: Request, /) -> Response:
        nonlocal at
        at += 0.001
        return Response(Outcome.ok, 200, (0.5,), at, at + 0.05, at + 0.1, headers=headers)

    return inner


CASES: dict[str, tuple[Callable[[], Limit], CIMultiDictProxy[str] | None, float]] = {
    "fixed": (lambda: Fixed(10), None, 1.0),
    "knee": (Knee, None, 5.0),
    "knee, headers without limits": (Knee, SILENT, 5.0),
    "knee, headers with limits": (Knee, TELLING, 5.0),
    "knee, sizes known": (Sized, None, 5.0),
    "knee, paced": (Paced, None, 8.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_gate_and_limit(benchmark: Any, name: str) -> None:
    """Microseconds an attempt over the bare inner send, one after another; the least of the rounds."""
    make, headers, microseconds_max = CASES[name]

    async def layered() -> float:
        return await calls(ConcurrencyLimit(answering(headers), make()))

    async def bare() -> float:
        return await calls(answering(headers))

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        bare_s = min(runner.run(bare()) for _ in range(5))
        rounds: list[float] = []
        benchmark.pedantic(lambda: rounds.append(runner.run(layered())), rounds=7, warmup_rounds=1)
    cost_us = (min(rounds) - bare_s) * 1e6
    benchmark.extra_info.update(cost_us=round(cost_us, 3))
    print(f"\n{name}: {cost_us:.2f} µs an attempt")
    assert cost_us <= microseconds_max


class BusyServer:
    """Sixteen workers of 0.1 s, exponential, in order of arrival; one answer a turn of the loop, in virtual time.

    So a limit learns as it does in life: it rests, drains and looks for more.
    """

    def __init__(self) -> None:
        self._rng = Random(3)
        self._now = 0.0
        self._free = [0.0] * 16
        self._answers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()

    async def __call__(self, request: Request, /) -> Response:
        loop, sent = asyncio.get_running_loop(), self._now
        done = max(sent, heapq.heappop(self._free)) + self._rng.expovariate(10.0)
        heapq.heappush(self._free, done)
        answer = loop.create_future()
        if not self._answers:
            loop.call_soon(self._answer)
        heapq.heappush(self._answers, (done, next(self._numbers), answer))
        await answer
        return Response(Outcome.ok, 200, (0.5,), sent, done, done)

    def _answer(self) -> None:
        self._now, _, answer = heapq.heappop(self._answers)
        answer.set_result(None)
        if self._answers:
            asyncio.get_running_loop().call_soon(self._answer)


@pytest.mark.slow
def test_gate_and_limit_under_load(benchmark: Any) -> None:
    """The same with 64 more workers than slots: each attempt waits in line, is woken, and hands on. CPU time."""
    found: dict[str, float] = {}

    async def crowd(limit: Limit | None, workers: int) -> float:
        server = BusyServer()
        send = server if limit is None else ConcurrencyLimit(server, limit)
        left = CALLS

        async def work() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await send(REQUEST)

        begun = time.thread_time()
        await asyncio.gather(*(work() for _ in range(workers)))
        return (time.thread_time() - begun) / CALLS

    with asyncio.Runner(loop_factory=new_event_loop) as runner:

        def round_() -> None:
            for name, limit, workers in (("bare", None, 22), ("fixed", Fixed(22), 86), ("knee", Knee(), 86)):
                found[name] = min(found.get(name, math.inf), runner.run(crowd(limit, workers)))

        benchmark.pedantic(round_, rounds=5, warmup_rounds=1)
    for name, most_us in LINE_US_MAX.items():
        cost_us = (found[name] - found["bare"]) * 1e6
        benchmark.extra_info[f"{name}_us"] = round(cost_us, 2)
        print(f"\n{name}, in line: {cost_us:.2f} µs an attempt")
        assert cost_us <= most_us


@pytest.mark.slow
def test_size_of_an_attempt(benchmark: Any) -> None:
    """Counting tokens and learning what they cost."""
    sizes, response = Sizes(), Response(Outcome.ok, 200, ("y" * 400,), 0.0, 0.5, 1.0)

    def sampled() -> None:
        for number in range(CALLS):
            sizes.relative(work_of(REQUEST, response), 0.1 + number % 7 / 100)

    benchmark.pedantic(sampled, rounds=5, warmup_rounds=1)
    cost_us = benchmark.stats.stats.min / CALLS * 1e6
    benchmark.extra_info["cost_us"] = round(cost_us, 3)
    print(f"\nsize of an attempt: {cost_us:.2f} µs")
    assert cost_us <= 2.0

"""What the client costs: each layer per call, and the transport beside bare aiohttp in the same run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.layers.rate_limit import RateLimit
from harness.client.layers.retry import Retry
from harness.client.limits.aimd import Aimd
from harness.client.limits.fixed import Fixed
from harness.client.tasks.http import Http
from harness.client.tasks.similarity import Similarity
from harness.client.transport.async_http import HttpTransport
from harness.client.types import Item, Outcome, Request, Response, Send
from harness.experiment.event_loop import new_event_loop
from tests.bench.fixed_answers import EVENTS, fixed_answers
from tests.bench.transports import Cost, costs, table
from tests.bench.wire import mock

CALLS = 20_000
TASK = Similarity()
REQUEST = TASK.request([Item(0, TASK.parse({"text1": "a quick brown fox", "text2": "a slow red dog"}), TASK)])
ANSWER = Response(Outcome.ok, 200, (0.5,), 1.0, 1.5, 2.0)


async def nothing(request: Request, /) -> Response:
    """The inner send that costs next to nothing."""
    return ANSWER


async def calls(send: Send) -> float:
    """Seconds per call, one after another."""
    begun = time.perf_counter()
    for _ in range(CALLS):
        await send(REQUEST)
    return (time.perf_counter() - begun) / CALLS


LAYERS: dict[str, tuple[Callable[[Send], Send], float]] = {
    "retry": (Retry, 1.0),
    "rate limit": (lambda send: RateLimit(send, 1e9), 1.0),
    "concurrency limit": (lambda send: ConcurrencyLimit(send, Fixed(10)), 2.0),
    "concurrency limit that learns": (lambda send: ConcurrencyLimit(send, Aimd()), 4.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_costs_next_to_nothing_on_success(benchmark: Any, name: str) -> None:
    """Microseconds per call over the bare inner send, the least of the rounds."""
    make, microseconds_max = LAYERS[name]
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        bare_s = min(runner.run(calls(nothing)) for _ in range(5))
        rounds: list[float] = []

        def round_() -> None:
            rounds.append(runner.run(_layered(make)))

        benchmark.pedantic(round_, rounds=7, warmup_rounds=1)
    cost_us = (min(rounds) - bare_s) * 1e6
    benchmark.extra_info.update(cost_us=round(cost_us, 3), bare_us=round(bare_s * 1e6, 3))
    print(f"\n{name}: {cost_us:.2f} µs a call over {bare_s * 1e6:.2f} µs bare")
    assert cost_us <= microseconds_max


async def _layered(make: Callable[[Send], Send]) -> float:
    return await calls(make(nothing))


async def crowd(one: Callable[[], Awaitable[object]], requests: int, workers: int = 20) -> float:
    """CPU seconds of this process per request, `workers` at a time."""
    left = requests

    async def work() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await one()

    begun = time.process_time()
    await asyncio.gather(*(work() for _ in range(workers)))
    return (time.process_time() - begun) / requests


async def beside_bare_aiohttp(url: str, requests: int, rounds: int) -> tuple[float, float]:
    """CPU seconds per request of bare aiohttp (post, read) and of the transport, in turns; the least of each."""
    bare_s, ours_s = [], []
    connector = aiohttp.TCPConnector(limit=0)
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=connector) as session, HttpTransport(url) as send:

        async def bare() -> None:
            async with session.post(f"{url}/similarity", data=REQUEST.body, headers=headers) as answer:
                assert answer.status == 200
                await answer.json()

        async def ours() -> None:
            assert (await send(REQUEST)).outcome is Outcome.ok

        for _ in range(rounds):
            bare_s.append(await crowd(bare, requests))
            ours_s.append(await crowd(ours, requests))
    return min(bare_s), min(ours_s)


@pytest.mark.slow
def test_the_transport_costs_no_more_than_bare_aiohttp(benchmark: Any) -> None:
    """Stamps, checked answers, outcomes and time-outs are paid for by what is left out of a plain session."""
    found: list[tuple[float, float]] = []
    with mock("null") as (port, _), asyncio.Runner(loop_factory=new_event_loop) as runner:
        benchmark.pedantic(
            lambda: found.append(runner.run(beside_bare_aiohttp(f"http://127.0.0.1:{port}", 1500, 5))),
            rounds=1,
            warmup_rounds=0,
        )
    bare_s, ours_s = found[0]
    benchmark.extra_info.update(bare_us=round(bare_s * 1e6, 1), transport_us=round(ours_s * 1e6, 1))
    print(
        f"\nbare aiohttp {bare_s * 1e6:.0f} µs, transport {ours_s * 1e6:.0f} µs CPU a request ({ours_s / bare_s:.2f})"
    )
    assert ours_s <= 1.1 * bare_s


@pytest.mark.slow
def test_the_lean_transport_costs_little_more_than_a_bare_protocol(benchmark: Any) -> None:
    """With instants, outcomes, time-outs and checked answers; and a fraction of aiohttp."""
    found: list[dict[str, Cost]] = []
    with fixed_answers() as (url, _):
        benchmark.pedantic(lambda: found.append(costs(url, 8_000, 3)), rounds=1, warmup_rounds=0)
    us = {name: cost.cpu_us for name, cost in found[0].items()}
    benchmark.extra_info.update({name: round(cost, 1) for name, cost in us.items()})
    print("\n" + "\n".join(table(found[0])))
    assert us["JSON: lean"] <= 2.0 * us["JSON: bare protocol"]
    assert us["JSON: lean"] <= us["JSON: bare aiohttp"] / 4
    assert us[f"SSE, {EVENTS} at once: lean"] <= us[f"SSE, {EVENTS} at once: bare aiohttp"] / 2.5


def _task_cost_s(task: Any, row: dict[str, Any], body: bytes) -> float:
    """Seconds for a row to become a request and a body an answer, the least of some rounds."""
    best = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(10_000):
            request = task.request((Item(0, task.parse(row), task),))
            task.answer(request, body)
        best = min(best, (time.perf_counter() - begun) / 10_000)
    return best


@pytest.mark.slow
def test_a_task_of_a_file_costs_at_most_five_microseconds_more(benchmark: Any) -> None:
    """Over the built-in task with the same request and answer: it is compiled once."""
    described = Http(
        text='path = "/similarity"\nanswer = { at = "/similarity_score", type = "number", min = -1, max = 1 }\n'
        'headers = { X-Team = "search" }\nbody = { text1 = "{{ a }}", text2 = "{{ b }}" }\n'
    )
    texts, body = ("a quick brown fox", "a slow red dog"), b'{"similarity_score": 0.5}'
    own = _task_cost_s(TASK, dict(zip(("text1", "text2"), texts, strict=True)), body)
    row = dict(zip("ab", texts, strict=True))
    ours = benchmark.pedantic(lambda: _task_cost_s(described, row, body), rounds=1)
    more_us = (ours - own) * 1e6
    benchmark.extra_info.update(built_in_us=round(own * 1e6, 3), more_us=round(more_us, 3))
    print(f"\na task of a file: {more_us:.2f} µs more than {own * 1e6:.2f} µs")
    assert more_us <= 5.0

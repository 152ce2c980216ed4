"""All layers together in virtual time: whatever happens, every exchange is charged to exactly one request."""

from __future__ import annotations

import asyncio
import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.client.cancellation import partial_of
from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.layers._budget import RetryBudget
from harness.client.layers.cache import Cache
from harness.client.layers.chunk import Chunk
from harness.client.layers.coalesce import Coalesce
from harness.client.layers.deadline import Deadline
from harness.client.layers.hedge import Hedge
from harness.client.layers.rate_limit import RateLimit
from harness.client.layers.retry import Retry
from harness.client.limits.fixed import Fixed
from harness.client.types import Outcome, Response
from tests.unit.layer_helpers import Server, ask, exchanges, virtually

REQUESTS = 120


@pytest.mark.no_cover
@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_every_exchange_is_charged_once_and_everyone_hears(seed: int) -> None:
    """Failures, refusals, slow answers, equal and long texts, deadlines, and callers that give up."""
    rng = Random(seed)
    kinds = [Outcome.ok] * 12 + [Outcome.rejected, Outcome.server_error, Outcome.client_error]
    times = [rng.choice([0.05, 0.1, 0.1, 0.2, 3.0]) for _ in range(5000)]
    outcomes = [rng.choice(kinds) for _ in range(5000)]
    server = Server(lambda n: times[n], lambda n: outcomes[n], first_byte=0.5)
    heard: list[Response] = []
    gate = ConcurrencyLimit(server, Fixed(rng.choice([2, 8, 30])))
    budget = RetryBudget()

    async def main() -> int:
        hedge = Hedge(RateLimit(gate, 50.0, bucket="token"), share=0.3, calm_s=0.0, budget=budget, gate=gate)
        retry = Retry(hedge, retries=2, rng=rng, budget=budget)
        send = Cache(Coalesce(Deadline(Chunk(retry, tokens=8), timeout_s=5.0)))

        async def one(number: int) -> None:
            text = f"text {rng.randrange(40)}. " * rng.choice([1, 1, 4])
            await asyncio.sleep(rng.uniform(0.0, 4.0))
            try:
                heard.append(await send(ask(text, number)))
            except asyncio.CancelledError as cancelled:
                heard.append(partial_of(cancelled) or Response(Outcome.cancelled))
                raise

        tasks = [asyncio.create_task(one(number)) for number in range(REQUESTS)]
        loop = asyncio.get_running_loop()
        for task in rng.sample(tasks, 15):
            loop.call_later(4.0 + rng.uniform(0.0, 3.0), task.cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}  # nothing goes on behind
        return hedge.hedged

    virtually(main())
    assert len(heard) == REQUESTS
    assert sum(map(exchanges, heard)) == server.seen
    assert gate.in_flight == 0
    for response in heard:
        assert response.from_cache <= (response.outcome is Outcome.ok)
        if exchanges(response) and not math.isnan(response.sent):
            assert response.first_sent <= response.sent

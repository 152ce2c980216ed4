"""The machinery of queue-stream, threads and adaptive: who works when, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.layers.retry import Retry
from harness.client.limits.fixed import Fixed
from harness.client.tasks.similarity import Similarity
from harness.client.types import Item, Outcome, Request, Response, Send
from harness.strategies._workers import Workers, outstanding
from harness.strategies.queue_stream import QueueStream
from tests.virtual_time import others, virtually

TASK = Similarity()
DATA = TASK.parse({"text1": "a", "text2": "b"})


async def arriving(*instants: float) -> AsyncIterator[Item]:
    """An item at each of these instants."""
    loop = asyncio.get_running_loop()
    for index, at in enumerate(instants):
        await asyncio.sleep(max(0.0, at - loop.time()))
        yield Item(index, DATA, TASK)


class Server:
    """A second an attempt; those in `failing` fail the first time. Remembers when each attempt began."""

    def __init__(self, failing: Sequence[int] = ()) -> None:
        self.failing = set(failing)
        self.begun: dict[int, list[float]] = {}
        self.in_flight: list[float] = []
        self.most = self.now = 0
        self.busy_s = 0.0

    async def __call__(self, request: Request, /) -> Response:
        loop, index = asyncio.get_running_loop(), request.items[0].index
        sent = loop.time()
        self.begun.setdefault(index, []).append(sent)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(1.0)
        finally:
            self.now -= 1
        if index in self.failing and len(self.begun[index]) == 1:
            return Response(Outcome.server_error, 500, sent=sent, done=loop.time())
        return Response(Outcome.ok, 200, (0.5,), sent, loop.time(), loop.time())


class Halfway:
    """Draws the middle of every range, so that a retry sleeps for half its base."""

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2


def retrying(send: Send) -> Send:
    return Retry(send, retries=1, base_s=60.0, cap_s=60.0, rng=Halfway())  # type: ignore[arg-type] # all that it draws


def test_an_item_that_came_while_the_slot_was_taken_gets_it_when_a_retry_goes_to_sleep() -> None:
    """The first of a slow stream of items fails and sleeps for half a minute: the second does not wait for it."""

    async def main() -> None:
        server = Server(failing=[0])
        strategy = QueueStream(concurrency=1)
        results = [r async for r in strategy.stream(arriving(0.0, 0.5, 0.6), server, layers=retrying)]
        assert server.begun == {0: [0.0, 31.0], 1: [1.0], 2: [2.0]}
        assert [result.item.index for result in results] == [1, 2, 0]

    virtually(main())


@given(st.integers(1, 4), st.integers(1, 12), st.integers(1, 3), st.lists(st.floats(0, 20), max_size=25))
def test_a_slot_is_never_free_while_an_item_waits(
    concurrency: int, failing: int, queue_size: int, instants: list[float]
) -> None:
    """With sleeping retries too: whenever an attempt begins later than its item came, all slots were taken till then.

    Each attempt takes a second, so the slots are free at t unless `concurrency` attempts began in (t - 1, t].
    """
    at = sorted(round(instant, 3) for instant in instants)

    async def main() -> Server:
        server = Server(failing=range(min(failing, 8)))
        pulled = QueueStream(concurrency=concurrency, queue_size=queue_size).stream(
            arriving(*at), server, layers=retrying
        )
        assert sorted([result.item.index async for result in pulled]) == list(range(len(at)))
        assert server.most <= concurrency
        assert not others()
        return server

    server = virtually(main())
    begins = sorted(begin for all_of_one in server.begun.values() for begin in all_of_one)
    for index, came in enumerate(at):
        begin = server.begun[index][0]
        if begin > came + 1e-6:  # it waited: the slot that it got was given up at that very instant
            ended = [other for other in begins if abs(other + 1.0 - begin) < 1e-6]
            assert ended, (index, came, begin)


def test_workers_are_as_many_as_slots_and_one_to_spare() -> None:
    """While nothing sleeps between two attempts, no more tasks are kept than it takes."""

    async def main() -> None:
        gate = ConcurrencyLimit(Server(), Fixed(10))
        stream = Workers(gate, gate, queue_size=20).stream(arriving(*[0.0] * 200))
        assert max([len(others()) async for _ in stream]) <= 10 + 1 + 1  # the spare one, and the producer

    virtually(main())


def test_sleepers_are_bounded_too() -> None:
    """Every item fails at first: intake stops when so many requests are asleep, and goes on as they wake."""

    async def main() -> None:
        server = Server(failing=range(300))
        loop, most = asyncio.get_running_loop(), 0

        def look() -> None:
            nonlocal most
            most = max(most, len(server.begun))

        loop.call_later(29.0, look)  # the first wakes at 31
        strategy = QueueStream(concurrency=4, queue_size=4)
        results = [r async for r in strategy.stream(arriving(*[0.0] * 300), server, layers=retrying)]
        assert len(results) == 300
        assert all(result.ok for result in results)
        assert most == outstanding(4)

    virtually(main())


def test_a_limit_that_grows_and_shrinks_is_followed() -> None:
    """The gate's limit is read for each item."""

    class Script:
        value = 2

        def update(self, sample: object, /) -> None:
            at = asyncio.get_running_loop().time()
            self.value = 6 if 5 <= at < 10 else 1 if at >= 10 else 2

    async def main() -> None:
        server, flights = Server(), {}
        gate = ConcurrencyLimit(server, Script())
        async for _ in Workers(gate, gate, queue_size=4).stream(arriving(*[0.0] * 50)):
            await asyncio.sleep(0)
            flights[round(asyncio.get_running_loop().time())] = server.now
        assert {flights[second] for second in (2, 3, 4)} == {2}
        assert {flights[second] for second in (6, 7, 8)} == {6}
        assert {flights[second] for second in (12, 13)} == {1}

    virtually(main())


def test_a_producer_that_is_ahead_stops_at_the_queues_size() -> None:
    """Memory is bounded by the queue and what is in flight."""
    pulled = 0

    async def counted() -> AsyncIterator[Item]:
        nonlocal pulled
        async for item in arriving(*[0.0] * 100):
            pulled += 1
            yield item

    async def main() -> None:
        stream = QueueStream(concurrency=3, queue_size=5).stream(counted(), Server())
        await anext(stream)
        assert pulled <= 3 + 3 + 5 + 1
        await stream.aclose()
        assert not others()

    virtually(main())


@pytest.mark.parametrize("ordered", [False, True])
def test_closing_while_the_reader_is_slow_leaves_nothing(ordered: bool) -> None:
    """Results that nobody took are dropped with the stream, tasks are gone when `aclose` returns."""

    async def main() -> None:
        server = Server()
        stream = QueueStream(concurrency=5, ordered=ordered, window=7).stream(arriving(*[0.0] * 60), server)
        await anext(stream)
        await asyncio.sleep(3.5)
        assert others()
        await stream.aclose()
        assert not others()
        assert server.now == 0

    virtually(main())

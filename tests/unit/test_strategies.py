"""What every strategy promises, in virtual time on a fake server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import plugins
from harness.client.errors import SettingError, UsageError
from harness.client.layers.retry import Retry
from harness.client.tasks.similarity import Similarity
from harness.client.types import Item, Outcome, Request, Response, Result, Sample, Send
from harness.strategies._order import Reorder
from harness.strategies.adaptive import Adaptive
from harness.strategies.batches import Batches
from harness.strategies.queue_stream import QueueStream
from harness.strategies.sync import Sync
from harness.strategies.threads import Threads
from harness.strategies.unbounded import Unbounded
from tests.server_helpers import virtually

TASK = Similarity()
DATA = TASK.parse({"text1": "a", "text2": "b"})
ALL = ["sync", "threads:workers=4", "unbounded", "batches:size=5,concurrency=3", "queue-stream:concurrency=4"]
ALL += ["queue-stream:concurrency=4,ordered=yes,window=9", "queue-stream:concurrency=3,priority=yes", "adaptive"]


class Server:
    """Answers after `service(index)` virtual seconds and remembers who was there."""

    def __init__(self, service: Callable[[int], float] = lambda index: 1.0, fails: Callable[[int], bool] | None = None):
        self.service = service
        self.fails = fails or (lambda index: False)
        self.in_flight = self.most = 0
        self.order: list[int] = []
        self.cancelled = 0

    async def __call__(self, request: Request, /) -> Response:
        loop = asyncio.get_running_loop()
        index = request.items[0].index
        self.order.append(index)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        sent = loop.time()
        try:
            await asyncio.sleep(self.service(index))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1
        if self.fails(index):
            return Response(Outcome.server_error, 500, (), sent, sent, loop.time())
        return Response(Outcome.ok, 200, (index,), sent, sent, loop.time())


async def items(count: int, priority: Callable[[int], int] = lambda index: 0) -> AsyncIterator[Item]:
    """A backlog."""
    for index in range(count):
        yield Item(index, DATA, TASK, priority(index))


async def collect(strategy: Any, count: int, send: Send, **options: Any) -> tuple[list[Result], float]:
    """All results, and the virtual seconds they took."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    return [result async for result in strategy.stream(items(count), send, **options)], loop.time() - start


@pytest.mark.parametrize(
    ("strategy", "most", "makespan"),
    [
        (Sync(), 1, 12.0),
        (Threads(workers=4), 4, 3.0),
        (Unbounded(), 12, 1.0),
        (Batches(size=5, concurrency=3), 3, 5.0),
        (Batches(size=6, concurrency=6), 6, 2.0),
        (QueueStream(concurrency=5), 5, 3.0),
        (QueueStream(concurrency=1, queue_size=1), 1, 12.0),
    ],
)
def test_each_keeps_its_number_in_flight(strategy: Any, most: int, makespan: float) -> None:
    """Exactly as many as it says, and the makespan that follows from it."""

    async def main() -> None:
        server = Server()
        results, took = await collect(strategy, 12, server)
        assert (len(results), server.most) == (12, most)
        assert took == pytest.approx(makespan)

    virtually(main())


@pytest.mark.parametrize("text", ALL)
@given(count=st.integers(0, 40), seed=st.integers(0, 1000))
@settings(max_examples=12, deadline=None)
def test_every_item_gets_exactly_one_result(text: str, count: int, seed: int) -> None:
    """Whatever the latencies and failures; an answer only where it is ok; no task is left behind."""
    rng = Random(seed)
    spans = [rng.choice([0.0, 0.1, 1.0, rng.random()]) for _ in range(count)]
    bad = {index for index in range(count) if rng.random() < 0.2}

    async def main() -> None:
        results, _ = await collect(plugins.make("strategy", text), count, Server(spans.__getitem__, bad.__contains__))
        assert sorted(result.item.index for result in results) == list(range(count))
        assert {result.item.index for result in results if not result.ok} == bad
        assert all(result.answer == (result.item.index if result.ok else None) for result in results)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtually(main())


def test_a_request_asleep_between_attempts_holds_no_slot() -> None:
    """Ten items fail once and wait half a minute; the others go through meanwhile at full speed."""

    async def main() -> None:
        failed: set[int] = set()

        def once(index: int) -> bool:
            first = index < 10 and index not in failed
            failed.add(index)
            return first

        server = Server(fails=once)
        retry = lambda send: Retry(send, retries=1, base_s=30.0, rng=Random(1))  # noqa: E731 - one layer, one line
        results, took = await collect(QueueStream(concurrency=5), 60, server, layers=retry)
        assert all(result.ok for result in results)
        assert server.most == 5
        assert took < 60 / 5 + 2 + 30  # not a multiple of the pause, as it would be if sleepers held slots

    virtually(main())


def test_urgent_items_overtake_those_in_the_queue() -> None:
    """With `priority` the smallest number goes first; without it the order is that of the input."""

    async def order(by_priority: bool) -> list[int]:
        server = Server()
        strategy = QueueStream(concurrency=1, queue_size=50, priority=by_priority)
        async for _ in strategy.stream(items(20, lambda index: -index), server):
            pass
        return server.order

    assert virtually(order(False)) == list(range(20))
    urgent = virtually(order(True))
    assert urgent[1:] == sorted(urgent[1:], reverse=True)


def test_ordered_results_come_in_input_order_within_their_window() -> None:
    """A slow first item holds the output, and then the intake: never more than `window` items are out."""

    async def main() -> None:
        server, pulled = Server(lambda index: 50.0 if index == 0 else 1.0), 0

        async def counted() -> AsyncIterator[Item]:
            nonlocal pulled
            async for item in items(100):
                pulled += 1
                yield item

        seen: list[Any] = []
        strategy = QueueStream(concurrency=4, ordered=True, window=10)
        asyncio.get_running_loop().call_later(49.0, lambda: seen.append(("pulled", pulled)))
        seen += [result.item.index async for result in strategy.stream(counted(), server)]
        assert seen[0] == ("pulled", 11)  # ten out, one in hand
        assert seen[1:] == list(range(100))

    virtually(main())


def test_reorder_works_around_any_strategy() -> None:
    """Wrap both ends."""

    async def main() -> None:
        reorder = Reorder(window=5)
        stream = Unbounded().stream(reorder.items(items(30)), Server(lambda index: (index * 7) % 5 + 0.1))
        assert [result.item.index async for result in reorder.results(stream)] == list(range(30))

    virtually(main())


@pytest.mark.parametrize("text", ALL)
def test_a_broken_input_is_reported_after_the_requests_in_flight(text: str) -> None:
    """The error is raised at the reader, and no result before it is lost."""

    async def broken() -> AsyncIterator[Item]:
        async for item in items(5):
            yield item
        raise UsageError("the disk is gone")

    seen: list[int] = []

    async def main() -> None:
        async for result in plugins.make("strategy", text).stream(broken(), Server()):
            seen.append(result.item.index)  # noqa: PERF401 - what came before the error is what this is about

    with pytest.raises(UsageError, match="disk"):
        virtually(main())
    assert sorted(seen) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("text", ALL)
def test_a_layer_that_raises_is_reported_too(text: str) -> None:
    """A bug in a layer is not swallowed."""

    async def send(request: Request, /) -> Response:
        if request.items[0].index == 3:
            raise ZeroDivisionError("a bug")
        return await Server()(request)

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async for _ in plugins.make("strategy", text).stream(items(8), send):
                pass
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtually(main())


@pytest.mark.parametrize("text", [text for text in ALL if text != "sync" and not text.startswith("batches")])
def test_closing_early_cancels_what_is_in_flight(text: str) -> None:
    """Nothing goes on in the background."""

    async def main() -> None:
        server = Server(lambda index: 1.0 if index == 0 else 100.0)
        stream = plugins.make("strategy", text).stream(items(50), server)
        async for _ in stream:
            break
        await stream.aclose()
        assert server.cancelled >= 2
        assert server.in_flight == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtually(main())


def test_adaptive_finds_more_than_it_started_with_and_backs_off() -> None:
    """On a server with 16 workers the limit grows from its start; where latency climbs it stays below the maximum."""

    async def peak(workers: int) -> int:
        gate = asyncio.Semaphore(workers)
        most = 0

        async def send(request: Request, /) -> Response:
            nonlocal most
            loop = asyncio.get_running_loop()
            sent = loop.time()
            most = max(most, workers - gate._value + len(gate._waiters or ()))
            async with gate:
                await asyncio.sleep(0.1)
            return Response(Outcome.ok, 200, (1,), sent, sent, loop.time())

        results, _ = await collect(Adaptive(maximum=100), 3000, send)
        assert len(results) == 3000
        return most

    assert 16 <= virtually(peak(16)) < 80


def test_adaptive_takes_limits_with_and_without_a_maximum() -> None:
    """The strategy's own maximum bounds those that know one."""
    assert Adaptive(limit="aimd", maximum=7).new_limit().maximum == 7  # type: ignore[attr-defined] # Aimd has it
    assert Adaptive(limit="fixed").new_limit().value == 10


def test_adaptive_passes_on_what_it_seeks_or_refuses_it() -> None:
    assert Adaptive(seek="throughput").new_limit().seek == "throughput"  # type: ignore[attr-defined] # Knee has it
    with pytest.raises(SettingError, match="seek=latency is no setting of the limit arc"):
        Adaptive(limit="arc", seek="latency")
    with pytest.raises(UsageError, match="not one of latency, balanced, throughput"):
        Adaptive(seek="most")


@dataclass
class Seeks:
    """A limit with a setting of the same name, which is no text."""

    seek: float = 0.5
    value: int = 3

    def update(self, sample: Sample, /) -> None:
        """Keep the limit."""


def test_adaptive_leaves_what_another_limit_seeks_as_it_is() -> None:
    assert Adaptive(limit="tests.unit.test_strategies:Seeks").new_limit().value == 3


def test_arrivals_wake_idle_workers() -> None:
    """With pauses between items nothing is queued and nothing is lost."""

    async def sparse() -> AsyncIterator[Item]:
        async for item in items(10):
            await asyncio.sleep(5.0)
            yield item

    async def main() -> None:
        server = Server()
        seen = [result async for result in QueueStream(concurrency=3).stream(sparse(), server)]
        assert (len(seen), server.most) == (10, 1)

    virtually(main())

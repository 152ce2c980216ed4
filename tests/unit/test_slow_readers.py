"""A reader that is slower than the server: what a strategy holds is bounded, and nothing is lost; in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from harness import plugins
from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.jobs import PATH
from harness.client.tasks.embed import Embed
from harness.client.types import Item, Outcome, Request, Response, Sample
from harness.strategies._workers import Workers, outstanding
from tests.virtual_time import others, virtually

TASK = Embed()
DATA = TASK.parse({"text": "a"})
COUNT = 150
# Of four requests in flight: the last item is taken while the outbox holds one less than it may.
WORKED_ON = outstanding(4) - 1 + 4
MOST = {
    "sync": 1,
    "batches:size=5,concurrency=3": 5,
    "threads:workers=4": 4 + WORKED_ON,
    "queue-stream:concurrency=4": 8 + WORKED_ON,
    # One more than the window is in the hand of the intake.
    "queue-stream:concurrency=4,ordered=yes,window=9": 9 + 1,
    "priority:concurrency=4,queue_size=8": 8 + WORKED_ON,
    "adaptive:maximum=4": 8 + WORKED_ON,
    # Two rounds in the queue, nearly two in the outbox, and one at the server.
    "adaptive-batch:concurrency=2,size=4,minimum=4,maximum=4": 16 + 15 + 8,
    "jobs:size=2,jobs=2": 4 + WORKED_ON,
}
"""The most items that are taken from the input and not read, by strategy."""


class Server:
    """Answers after a millisecond, also the questions about jobs, each of which is done at once."""

    def __init__(self) -> None:
        self._jobs: list[int] = []

    async def __call__(self, request: Request, /) -> Response:
        loop = asyncio.get_running_loop()
        sent = loop.time()
        await asyncio.sleep(0.001)
        answers = self._of_job(request) if request.path.startswith(PATH) else tuple(i.index for i in request.items)
        return Response(Outcome.ok, 200, answers, sent, sent, loop.time())

    def _of_job(self, request: Request) -> tuple[Any, ...]:
        _, _, rest = request.path.partition(f"{PATH}/")
        if not rest:
            self._jobs.append(len(msgspec.json.decode(request.body)["inputs"]))
            rest = str(len(self._jobs) - 1)
        number, _, what = rest.partition("/")
        items = self._jobs[int(number)]
        if what.startswith("results"):
            body = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}], "model": "m"}
            data = [{"index": index, "status": 200, "body": body} for index in range(items)]
            page: Any = {"data": data, "has_more": False, "next_start": items}
        else:
            counts = {"total": items, "completed": items, "failed": 0}
            page = {"id": number, "status": "completed", "endpoint": "x", "request_counts": counts, "progress": 1.0}
        return request.task.answer(request, msgspec.json.encode(page))


class Intake:
    """Items, of which it counts those that were taken and not read."""

    def __init__(self) -> None:
        self.taken = self.read = self.most = 0

    async def items(self, count: int = COUNT) -> AsyncIterator[Item]:
        for index in range(count):
            self.taken += 1
            self.most = max(self.most, self.taken - self.read)
            yield Item(index, DATA, TASK)


def test_each_strategy_but_unbounded_is_here() -> None:
    """`unbounded` promises no bound."""
    assert {plugins.split_spec(text)[0] for text in MOST} | {"unbounded"} == set(plugins.names("strategy"))


@pytest.mark.parametrize("text", MOST)
def test_a_slow_reader_holds_up_the_intake(text: str) -> None:
    """A second for each result, of a server that answers a thousand and more: the reader never waits for them."""

    async def main() -> None:
        intake, seen = Intake(), set[int]()
        loop = asyncio.get_running_loop()
        async for result in plugins.make("strategy", text).stream(intake.items(), Server()):
            intake.read += 1
            assert result.ok, result.response.error
            seen.add(result.item.index)
            await asyncio.sleep(1.0)
        assert seen == set(range(COUNT))
        assert intake.read == COUNT
        assert intake.most <= MOST[text]
        assert loop.time() == pytest.approx(COUNT, abs=1.0)
        assert not others()

    virtually(main())


@pytest.mark.parametrize("text", [text for text in MOST if not text.startswith(("sync", "batches"))])
def test_closing_while_the_intake_is_held_up_leaves_nothing(text: str) -> None:
    """Workers that wait for the reader end with the stream."""

    async def main() -> None:
        intake = Intake()
        stream = plugins.make("strategy", text).stream(intake.items(), Server())
        await anext(stream)
        await asyncio.sleep(10.0)
        assert intake.taken < COUNT
        await stream.aclose()
        assert not others()

    virtually(main())


class Falling:
    """A limit of 100 for five seconds, then of one."""

    @property
    def value(self) -> int:
        return 100 if asyncio.get_running_loop().time() < 5.0 else 1

    def update(self, sample: Sample, /) -> None:
        """Only time changes it."""


def test_a_limit_that_falls_while_workers_wait_for_the_reader_loses_none_of_them() -> None:
    """More wait than results may, of the new limit: those that are not woken for a place are at the end."""

    async def main() -> None:
        intake = Intake()
        gate = ConcurrencyLimit(Server(), Falling())
        seen: list[int] = []
        async for result in Workers(gate, gate, queue_size=50).stream(intake.items(600)):
            if not seen:
                await asyncio.sleep(10.0)
                assert intake.taken < 600
            seen.append(result.item.index)
        assert sorted(seen) == list(range(600))
        assert not others()

    virtually(main())

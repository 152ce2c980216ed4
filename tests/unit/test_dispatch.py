"""From calls to batches, in virtual time: deadlines, hang-ups, lingering, overload."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Coroutine
from random import Random
from statistics import quantiles
from typing import Any

import pytest

from mock_server.app import create
from mock_server.jitter import Lognormal
from mock_server.profile import Capacity, Generation, Profile, Service
from model_server.http.app import App
from model_server.work import Batch
from tests.server_helpers import PAIR, Answered, call, virtually

SLOW = Profile(service=Service(base_s=1.0), capacity=Capacity(workers=1, queue_max=8))


def deadline(milliseconds: float) -> dict[str, str]:
    return {"X-Request-Timeout-Ms": str(milliseconds)}


async def later(seconds: float, step: Coroutine[Any, Any, Answered]) -> Answered:
    await asyncio.sleep(seconds)
    return await step


async def together(*steps: Coroutine[Any, Any, Answered]) -> list[Answered]:
    return list(await asyncio.gather(*steps))


def test_work_that_expires_while_it_waits_is_answered_at_its_deadline_not_at_the_next_pop() -> None:
    app = create(SLOW)
    first, second = virtually(
        together(call(app, "/similarity", PAIR), later(0.1, call(app, "/similarity", PAIR, headers=deadline(250))))
    )
    assert (first.status, first.at) == (200, 1.0)
    assert (second.status, second.json["error"]["code"]) == (504, "deadline_exceeded")
    assert second.at == pytest.approx(0.35)
    assert (app.dispatcher.batches, app.dispatcher.dropped) == (1, 1)


def test_work_that_has_begun_by_its_deadline_is_finished() -> None:
    app = create(SLOW)
    (answer,) = virtually(together(call(app, "/similarity", PAIR, headers=deadline(250))))
    assert (answer.status, answer.at) == (200, 1.0)


def test_a_request_is_over_when_any_of_its_items_expires_and_gives_its_room_back() -> None:
    app = create(SLOW)

    async def main() -> tuple[Answered, tuple[int, int, int]]:
        answer = await call(app, "/embed", {"inputs": ["a", "b", "c"]}, headers=deadline(1500))
        book = app.dispatcher.admission
        return answer, (app.dispatcher.waiting, book.waiting, book.tokens)

    answer, left = virtually(main())
    assert (answer.status, answer.at, left) == (504, 1.5, (0, 0, 0))
    assert (answer.json["error_type"], app.dispatcher.dropped) == ("Overloaded", 1)


def test_a_client_that_hangs_up_gives_its_room_in_the_queue_back_at_once() -> None:
    app = create(SLOW)

    async def main() -> Answered:
        busy = asyncio.create_task(call(app, "/similarity", PAIR))
        await asyncio.sleep(0)
        full = asyncio.create_task(call(app, "/embed", {"inputs": ["a"] * 8}, gone_after=0.2))
        await asyncio.sleep(0.1)
        assert (await call(app, "/similarity", PAIR)).status == 503
        await asyncio.sleep(0.2)
        assert (app.dispatcher.waiting, app.dispatcher.admission.waiting) == (0, 0)
        last = await call(app, "/similarity", PAIR)
        await asyncio.gather(busy, full)
        return last

    answer = virtually(main())
    assert (answer.status, answer.at) == (200, 2.0)
    assert app.counts.total()["disconnected"] == 1


def test_a_generation_that_expires_in_the_queue_is_answered_at_its_deadline() -> None:
    app = create(Profile(generation=Generation(itl_base_s=0.1, running_max=1)))
    body = {"text": "x", "max_tokens": 11}
    answers = virtually(
        together(
            call(app, "/annotate", body),
            later(0.1, call(app, "/annotate", body, headers=deadline(300))),
            later(0.2, call(app, "/annotate", body, headers=deadline(60_000))),
        )
    )
    assert [answer.status for answer in answers] == [200, 504, 200]
    assert [answer.at for answer in answers] == pytest.approx([1.0, 0.4, 2.0])
    assert (app.lane.waiting, app.lane.running) == (0, 0)


LINGER = Profile(
    service=Service(base_s=1.0), capacity=Capacity(workers=2, batch_max_items=3, batch_linger_s=0.4, queue_max=50)
)


def test_lingering_is_anchored_to_the_oldest_and_ends_when_the_batch_is_full() -> None:
    app = create(LINGER)
    answers = virtually(
        together(
            call(app, "/similarity", PAIR),
            later(0.3, call(app, "/similarity", PAIR)),
            later(0.5, call(app, "/similarity", PAIR)),
            later(0.6, call(app, "/similarity", PAIR)),
            later(0.7, call(app, "/similarity", PAIR)),
        )
    )
    # The first two leave at 0.4, the other three at 0.7, as soon as they fill a batch.
    assert [answer.at for answer in answers] == pytest.approx([1.4, 1.4, 1.7, 1.7, 1.7])
    assert answers[0].timing["queue"] == pytest.approx(400)
    assert [entry.items for entry in app.dispatcher.log] == [2, 3]


def test_without_lingering_a_lone_request_starts_at_once() -> None:
    (answer,) = virtually(together(call(create(SLOW), "/similarity", PAIR)))
    assert (answer.at, answer.timing["queue"]) == (1.0, 0.0)


class Overload:
    """Poisson arrivals at a multiple of what the server can do, and what came back."""

    def __init__(self, app: App, rate_per_s: float, seconds: float) -> None:
        self.app = app
        self.rate_per_s = rate_per_s
        self.seconds = seconds
        self.accepted: list[float] = []  # latencies
        self.refused: list[float] = []
        self.hints: list[tuple[float, float]] = []  # Retry-After, and when what waited at that moment had really begun
        self.started = 0
        self.awaited: deque[tuple[int, float, float]] = deque()  # backlogs: items to start, when hinted, and the hint
        start = app.engine.start

        def counted(batch: Batch, done: Callable[[Batch], None]) -> None:
            self.started += len(batch.works)
            while self.awaited and self.awaited[0][0] <= self.started:
                _, when, hint_s = self.awaited.popleft()
                self.hints.append((hint_s, app.clock() - when))
            start(batch, done)

        app.engine.start = counted  # type: ignore[method-assign] # the one place that sees items leave the queue

    async def run(self) -> None:
        rng, loop, tasks = Random(5), asyncio.get_running_loop(), []
        while loop.time() < self.seconds:
            tasks.append(asyncio.create_task(self._one()))
            await asyncio.sleep(rng.expovariate(self.rate_per_s))
        await asyncio.gather(*tasks)

    async def _one(self) -> None:
        begun = asyncio.get_running_loop().time()
        answer = await call(self.app, "/similarity", PAIR)
        if answer.status == 200:
            self.accepted.append(answer.at - begun)
            return
        assert (answer.status, answer.json["error"]["code"]) == (503, "server_full")
        self.refused.append(answer.at - begun)
        hint_s = int(answer.headers["retry-after-ms"]) / 1000
        assert int(answer.headers["retry-after"]) == max(1, math.ceil(hint_s))
        self.awaited.append((self.started + self.app.dispatcher.waiting, begun, hint_s))


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "capacity",
    [
        Capacity(workers=2, batch_max_items=4, queue_wait_max_s=0.5),  # 80 a second, bounded in time
        Capacity(workers=8, batch_max_items=1, queue_max=40),  # 80 a second, bounded in items
        Capacity(workers=2, batch_max_items=4, queue_max_tokens=400),  # 80 a second, bounded in tokens: 10 an item
    ],
)
def test_at_three_times_capacity_the_accepted_stay_within_the_bound_and_the_rest_gets_a_retry_after(
    capacity: Capacity,
) -> None:
    service = Service(base_s=0.1, jitter=Lognormal(cv=0.2))
    app = create(Profile(service=service, capacity=capacity))
    load = Overload(app, 240, 10)
    virtually(load.run())
    assert len(load.accepted) == pytest.approx(80 * 10, rel=0.1)  # no capacity is lost to refusing
    assert len(load.refused) == pytest.approx(160 * 10, rel=0.1)
    # Half a second in the queue, and the service itself: the slowest of some thousand draws.
    assert max(load.accepted) < 0.5 * 1.3 + 0.2
    assert max(load.refused) == 0.0
    settled = load.hints[len(load.hints) // 20 :]  # the rate is not known before the first batches
    errors = [abs(hint_s / truth_s - 1) for hint_s, truth_s in settled]
    assert quantiles(errors, n=20)[-1] < 0.5
    assert app.counts.total()["refused"] == len(load.refused)

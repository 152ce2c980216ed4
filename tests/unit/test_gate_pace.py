"""The gate paces: attempts start no faster than the limit's rate, evenly, in order, and nobody is forgotten."""

from __future__ import annotations

import asyncio
import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.gate.pace import TOLERANCE_S, Pace
from harness.client.gate.slots import Slots
from harness.client.gate.watchers import Share
from harness.client.limits.aimd import Aimd
from harness.client.types import Outcome, Sample
from harness.strategies._workers import Workers
from tests.unit.gate_helpers import Hinting, Paced, ask_now, settle
from tests.unit.layer_helpers import Server, ask, virtually
from tests.unit.test_workers import arriving


def test_a_crowd_starts_evenly_at_the_rate() -> None:
    async def main() -> list[float]:
        server = Server()
        gate = ConcurrencyLimit(server, Paced(rate_per_s=10.0))
        await asyncio.gather(*ask_now(gate, 11))
        assert [request.items[0].index for request in server.requests] == list(range(11))
        assert (gate.in_flight, gate.waiting, gate.vacant) == (0, 0, True)
        return server.starts

    starts = virtually(main())
    assert [round(start, 6) for start in starts] == [round(0.1 * n, 6) for n in range(11)]


def test_the_number_in_flight_bounds_beside_the_rate() -> None:
    async def main() -> None:
        server = Server(lambda n: 1.0)
        gate = ConcurrencyLimit(server, Paced(2, rate_per_s=10.0))
        await asyncio.gather(*ask_now(gate, 6))
        assert [round(start, 2) for start in server.starts] == [0.0, 0.1, 1.0, 1.1, 2.0, 2.1]

    virtually(main())


def test_a_rate_that_changes_acts_on_those_in_line_and_infinity_lets_all_go() -> None:
    async def main() -> None:
        server, limit = Server(), Paced(rate_per_s=1.0)
        gate = ConcurrencyLimit(server, limit)
        tasks = ask_now(gate, 40)
        await asyncio.sleep(2.5)
        assert len(server.starts) == 3
        limit.rate_per_s = 10.0
        gate.resized()
        await asyncio.sleep(1.02)
        assert 12 <= len(server.starts) <= 14
        limit.rate_per_s = math.inf
        gate.resized()
        await settle()
        assert len(server.starts) == 40
        await asyncio.gather(*tasks)

    virtually(main())


def test_a_limit_changes_its_rate_by_what_it_learns() -> None:
    class Learner(Paced):
        def update(self, sample: Sample, /) -> None:
            self.rate_per_s = 5.0 if sample.outcome is Outcome.rejected else math.inf

    async def main() -> None:
        server = Server(lambda n: 0.01, lambda n: Outcome.rejected if n == 0 else Outcome.ok)
        gate = ConcurrencyLimit(server, Learner(1))
        await asyncio.gather(*ask_now(gate, 4))
        assert [round(start, 3) for start in server.starts] == [0.0, 0.01, 0.02, 0.03]  # the second may go at once
        gate = ConcurrencyLimit(server := Server(lambda n: 0.01, lambda n: Outcome.rejected), Learner(1))
        await asyncio.gather(*ask_now(gate, 4))
        assert [round(start, 3) for start in server.starts] == [0.04, 0.05, 0.25, 0.45]

    virtually(main())


def test_one_whose_deadline_passes_in_the_paced_line_is_not_sent_and_costs_no_turn() -> None:
    async def main() -> None:
        server = Server()
        gate = ConcurrencyLimit(server, Paced(rate_per_s=1.0))
        loop = asyncio.get_running_loop()
        first, second = ask_now(gate, 2)
        await settle()
        hasty = asyncio.create_task(gate(ask("hasty", deadline=0.5)))
        last = asyncio.create_task(gate(ask("last")))
        assert (await hasty).outcome is Outcome.not_sent
        assert loop.time() == 0.5
        await asyncio.gather(first, second, last)
        assert [round(start, 2) for start in server.starts] == [0.0, 1.0, 2.0]

    virtually(main())


def test_one_who_is_cancelled_as_his_turn_comes_gives_it_to_the_next() -> None:
    async def main() -> None:
        server = Server()
        gate = ConcurrencyLimit(server, Paced(rate_per_s=1.0))
        tasks = ask_now(gate, 3)
        asyncio.get_running_loop().call_at(1.0, tasks[1].cancel)  # set before the gate's own timer of that instant
        await asyncio.gather(*tasks, return_exceptions=True)
        assert [round(start, 2) for start in server.starts] == [0.0, 1.0]
        tasks = ask_now(gate, 3)
        await asyncio.sleep(0.5)
        asyncio.get_running_loop().call_at(2.0, tasks[0].cancel)  # and after it: he was served, but has not run
        await asyncio.gather(*tasks, return_exceptions=True)
        assert gate.in_flight == 0
        assert [round(start, 2) for start in server.starts[2:]] == [2.0, 3.0]

    virtually(main())


def test_no_timer_is_left_where_nobody_waits() -> None:
    async def main() -> None:
        gate = ConcurrencyLimit(Server(), Paced(rate_per_s=0.01))
        tasks = ask_now(gate, 3)
        watcher = asyncio.create_task(gate.vacancy())
        await asyncio.sleep(1.0)
        for task in (*tasks, watcher):
            task.cancel()
        await asyncio.gather(*tasks, watcher, return_exceptions=True)
        assert gate._timer is None
        assert gate.waiting == 0

    virtually(main())


def test_a_watcher_gets_word_only_when_one_could_start() -> None:
    async def main() -> None:
        server = Server()
        gate = ConcurrencyLimit(server, Paced(rate_per_s=10.0))
        loop = asyncio.get_running_loop()
        pulled: list[float] = []

        async def worker() -> None:
            await gate.vacancy()
            assert gate.vacant
            pulled.append(round(loop.time(), 6))
            await gate(ask())

        await asyncio.gather(*(worker() for _ in range(5)))
        assert pulled == [0.0, 0.1, 0.2, 0.3, 0.4]
        assert [round(start, 6) for start in server.starts] == pulled

    virtually(main())


def test_a_strategy_pulls_an_item_when_it_could_start() -> None:
    """So an urgent one that comes meanwhile overtakes."""

    async def main() -> None:
        server = Server(lambda n: 0.5)
        gate = ConcurrencyLimit(server, Paced(rate_per_s=5.0))
        waited = [
            result.response.sent async for result in Workers(gate, gate, queue_size=4).stream(arriving(*[0.0] * 20))
        ]
        assert [round(at, 3) for at in sorted(waited)] == [round(0.2 * n, 3) for n in range(20)]

    virtually(main())


def test_a_late_timer_does_not_lower_the_rate() -> None:
    """Starts that are some milliseconds late are made up for; an idle minute is not saved up."""
    rng, pace, now, started = Random(1), Pace(100.0, 0.0), 0.0, 0
    while now < 20.0:
        now = max(now, pace.earliest(now)) + rng.uniform(0.0, 0.008)
        pace.take(now)
        started += 1
    assert 1985 <= started <= 2003
    at = now + 60.0
    burst = 0
    while pace.earliest(at) <= at + 1e-9:
        pace.take(at)
        burst += 1
    assert burst == 1 + round(TOLERANCE_S * 100.0)


def test_what_is_owed_is_kept_in_starts_when_the_rate_changes() -> None:
    pace = Pace(10.0, 0.0)
    for _ in range(5):
        pace.take(0.0)
    assert math.isclose(pace.earliest(0.0), 0.5)
    pace.change(100.0, 0.0)
    assert math.isclose(pace.earliest(0.0), 0.05)
    pace.change(math.inf, 0.0)
    assert pace.earliest(0.0) == 0.0
    pace.change(math.nan, 0.0)  # nonsense stops nobody for good, nor at once
    assert pace.earliest(0.0) == 0.0
    pace.take(0.0)
    assert math.isfinite(pace.earliest(0.0))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_nobody_is_forgotten_and_the_rate_is_kept(seed: int) -> None:
    """Calls, watchers, cancellations, deadlines, resizes and refusals at random; who remains is served, in order."""
    rng = Random(seed)
    kinds = [Outcome.ok] * 6 + [Outcome.rejected, Outcome.connection_error, Outcome.client_error]
    outcomes = [rng.choice(kinds) for _ in range(400)]
    hints = [rng.choice([None, 0.0, 0.3, 2.0]) for _ in range(400)]
    server = Hinting(lambda n: 0.05 * (1 + n % 7), lambda n: outcomes[n], hint=lambda n: hints[n])
    rate = rng.choice([5.0, 40.0])

    async def main() -> None:
        limit = Paced(rng.choice([1, 3, 50]), rate)
        gate = ConcurrencyLimit(server, limit)

        async def one(number: int) -> None:
            await asyncio.sleep(rng.uniform(0.0, 2.0))
            if rng.random() < 0.5:
                await gate.vacancy()
            deadline = asyncio.get_running_loop().time() + rng.choice([0.2, 5.0]) if rng.random() < 0.2 else math.inf
            await gate(ask(str(number), number, deadline=deadline))

        tasks = [asyncio.create_task(one(number)) for number in range(60)]
        loop = asyncio.get_running_loop()
        for task in rng.sample(tasks, 15):
            loop.call_later(rng.uniform(0.0, 4.0), task.cancel)
        for _ in range(3):
            await asyncio.sleep(0.5)
            limit.value = rng.choice([1, 3, 50])
            gate.resized()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() or task.exception() is None for task in tasks)
        assert (gate.in_flight, gate.waiting) == (0, 0)

    virtually(main())
    for first, start in enumerate(server.starts):
        for last in range(first, len(server.starts)):
            assert last - first <= rate * (server.starts[last] - start + TOLERANCE_S) + 1e-3


def test_another_limit_in_the_place_of_one_that_paces_is_not_paced() -> None:
    async def main() -> None:
        server = Server()
        gate = ConcurrencyLimit(server, Paced(rate_per_s=1.0))
        tasks = ask_now(gate, 5)
        await asyncio.sleep(0.5)
        gate.limit = Aimd(initial=5)
        gate.resized()
        await asyncio.gather(*tasks)
        assert server.starts == [0.0, 0.5, 0.5, 0.5, 0.5]
        gate.limit = Paced(rate_per_s=1.0)
        gate.resized()
        await asyncio.gather(*ask_now(gate, 3))
        assert [round(start - server.starts[5], 6) for start in server.starts[5:]] == [0.0, 1.0, 2.0]

    virtually(main())


def test_a_timer_for_an_instant_that_has_just_passed_is_a_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvloop calls at once then, and its handle has no instant: such a run of `-s adaptive` ended in the middle."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "call_at", lambda when, callback: loop.call_soon(callback))
        slots = Slots(2, Share(Server()), rate_per_s=10.0)
        slots._wake_at(1.0)
        slots._wake_at(0.5)
        first = slots._wakes_at
        slots._wake_at(2.0)
        await settle()
        assert slots._timer is None
        return [first, slots._wakes_at]

    assert virtually(main()) == [0.5, 0.5]

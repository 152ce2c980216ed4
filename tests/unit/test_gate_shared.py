"""One gate for all applications that send to one server: one limit learns, the slots are divided evenly."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.gate.shared import SharedGate, adaptive_gate
from harness.client.limits.fixed import Fixed
from harness.client.tasks.similarity import Similarity
from harness.client.types import Item, Outcome, Request, Response, Send
from harness.experiment.simulate import simulate
from harness.strategies.adaptive import Adaptive
from tests.server_helpers import virtually
from tests.simulation.kernel import servers
from tests.unit.test_gate_concurrency_limit import Server, request, settle

TASK = Similarity()
DATA = TASK.parse({"text1": "a", "text2": "b"})


class Place(Server):
    """A server with an address."""

    def __init__(self, endpoint: str = "http://one") -> None:
        super().__init__()
        self.endpoint = endpoint


class Timed:
    """Answers each attempt after a second, through a transport of its own; counts who was there together."""

    together = 0
    most = 0

    def __init__(self, endpoint: str = "http://one") -> None:
        self.endpoint = endpoint
        self.done: list[float] = []

    async def __call__(self, request: Request, /) -> Response:
        sent = asyncio.get_running_loop().time()
        Timed.together += 1
        Timed.most = max(Timed.most, Timed.together)
        try:
            await asyncio.sleep(1.0)
        finally:
            Timed.together -= 1
        now = asyncio.get_running_loop().time()
        self.done.append(now)
        return Response(Outcome.ok, 200, (0.5,), sent, now, now)


def shared(send: Send, value: int = 2, settings: str = "same") -> SharedGate:
    gate = adaptive_gate(send, lambda initial: Fixed(value), "fixed", settings)
    assert isinstance(gate, SharedGate)
    return gate


async def _items(count: int) -> AsyncIterator[Item]:
    for index in range(count):
        yield Item(index, DATA, TASK)


async def _play(strategy: Adaptive, send: Timed, count: int, begin_s: float = 0.0) -> None:
    await asyncio.sleep(begin_s)
    async for _ in strategy.stream(_items(count), send):
        pass


async def test_streams_to_one_endpoint_share_a_limit_and_others_do_not() -> None:
    """Same endpoint and settings: one limit. Another endpoint, other settings, no endpoint: a limit of its own."""
    first, second = shared(Place()), shared(Place())
    assert first.limit is second.limit
    assert shared(Place("http://two")).limit is not first.limit
    assert shared(Place(), settings="others").limit is not first.limit
    assert isinstance(adaptive_gate(Server(), lambda initial: Fixed(2), "fixed"), ConcurrencyLimit)
    kept = id(first.limit), first.limit
    del first, second
    gc.collect()
    assert shared(Place()).limit is not kept[1]


async def test_all_attempts_count_against_one_limit_and_each_goes_its_own_way() -> None:
    places = Place(), Place()
    gates = [shared(place) for place in places]
    tasks = [asyncio.create_task(gate(request(f"{k}{n}"))) for n in range(2) for k, gate in enumerate(gates)]
    await settle()
    assert [list(place.running) for place in places] == [["00"], ["10"]]
    assert [gate.in_flight for gate in gates] == [2, 2]
    assert not any(gate.vacant for gate in gates)
    places[0].end("00")
    await settle()
    assert [list(place.running) for place in places] == [["01"], ["10"]]
    for place, name in ((places[0], "01"), (places[1], "10")):
        place.end(name)
    await settle()
    places[1].end("11")
    await asyncio.gather(*tasks)
    assert gates[0].in_flight == 0


async def test_a_free_slot_goes_to_the_application_with_the_fewest() -> None:
    """Three of A wait longer than one of B; A has both slots, so B is first."""
    a, b = Place(), Place()
    gate_a, gate_b = shared(a), shared(b)
    holders = [asyncio.create_task(gate_a(request(name))) for name in "xy"]
    await settle()
    order: list[str] = []

    async def work(gate: SharedGate, name: str) -> None:
        await gate.vacancy()
        order.append(name)
        await gate(request(name))

    tasks = [asyncio.create_task(work(gate_a, f"a{n}")) for n in range(3)]
    await settle()
    tasks.append(asyncio.create_task(work(gate_b, "b")))
    await settle()
    a.end("x")
    await settle()
    assert order == ["b"]
    a.end("y")
    await settle()
    assert order == ["b", "a0"]
    for task in (*tasks, *holders):
        task.cancel()
    await asyncio.gather(*tasks, *holders, return_exceptions=True)


def test_an_application_that_comes_late_gets_its_half() -> None:
    """The first has filled the limit with its backlog; from the second's start on both do as much."""
    Timed.together = Timed.most = 0
    sends = Timed(), Timed()

    async def main() -> None:
        strategy = Adaptive(limit="fixed", maximum=10)
        await asyncio.gather(_play(strategy, sends[0], 400), _play(strategy, sends[1], 100, 10.5))

    virtually(main())
    assert Timed.most == 10
    counts = [sum(12.0 < at <= 30.0 for at in send.done) for send in sends]
    assert sum(counts) == 180
    assert min(counts) >= 85


async def test_a_stream_after_the_only_one_has_a_new_gate() -> None:
    """Also at once, while timers of the loop still know the old gate."""
    place = Place()
    gate = shared(place)
    attempt = asyncio.create_task(gate(request("a")))
    await settle()
    place.end("a")
    await attempt
    kept, limit = gate._gate, gate.limit
    del gate, attempt
    assert kept.in_flight == 0
    assert shared(place).limit is not limit


async def test_a_stream_that_has_ended_counts_no_more() -> None:
    """Then the other one is alone, and need not ask who else waits."""
    one, other = shared(Place()), shared(Place())
    assert one._gate.shares == 2
    await other.vacancy()
    del other
    assert one._gate.shares == 1
    assert one.vacant


def test_with_own_limits_each_has_as_many() -> None:
    Timed.together = Timed.most = 0

    async def main() -> None:
        strategy = Adaptive(limit="fixed", maximum=10, shared=False)
        await asyncio.gather(*(_play(strategy, Timed(), 60) for _ in range(2)))

    virtually(main())
    assert Timed.most == 20


def test_a_short_application_leaves_its_slots_to_the_others() -> None:
    """Its transport is closed by then; the gate goes on with the other's."""
    sends = Timed(), Timed()

    async def main() -> None:
        strategy = Adaptive(limit="fixed", maximum=4)
        await asyncio.gather(_play(strategy, sends[0], 4), _play(strategy, sends[1], 40))

    virtually(main())
    assert (len(sends[0].done), len(sends[1].done)) == (4, 40)
    assert max(sends[1].done) <= 12.0


@pytest.mark.no_cover
def test_clients_that_share_a_limit_queue_less_than_with_limits_of_their_own(tmp_path: Path) -> None:
    """Four applications in the product: even shares; one timeline of one limit, not the sum of four equal ones."""
    runs = {}
    searching = "adaptive:server_queue=false"
    for name in (searching, f"{searching},shared=false"):
        run = simulate(name, servers.written(tmp_path, servers.WORKERS_8), stop_s=20.0, clients=4, seed=3)
        ok = run.rows[run.rows["outcome"] == Outcome.ok]
        runs[name] = run, [int((ok["user"] == k).sum()) for k in range(4)]
    together, counts = runs[searching]
    assert min(counts) >= 0.9 * max(counts)
    limits = together.ticks["limit"]
    assert limits[limits > 0].max() < runs[f"{searching},shared=false"][0].ticks["limit"].max()
    assert (together.ticks["in_flight"] <= 64).all()


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["call", "watch", "end", "cancel", "turn"]), st.integers(0, 30), st.integers(0, 2)),
    max_size=60,
)


@given(ACTIONS, st.integers(1, 4))
@settings(max_examples=150, deadline=None)
def test_no_slot_and_no_wake_up_is_lost_among_three(actions: list[tuple[str, int, int]], value: int) -> None:
    """Whatever is cancelled and ended in whatever order, in the end all who were not cancelled are served."""
    asyncio.run(_play_actions(actions, value))


async def _play_actions(actions: list[tuple[str, int, int]], value: int) -> None:
    places = [Place() for _ in range(3)]
    gates = [shared(place, value) for place in places]
    tasks: list[asyncio.Task[Any]] = []
    for number, (action, pick, who) in enumerate(actions):
        if action == "call":
            tasks.append(asyncio.create_task(gates[who](request(str(number)))))
        elif action == "watch":
            tasks.append(asyncio.create_task(gates[who].vacancy()))
        elif action == "end" and (running := places[who].running):
            future = list(running.values())[pick % len(running)]
            if not future.done():
                future.set_result(Outcome.ok)
        elif action == "cancel" and tasks:
            tasks[pick % len(tasks)].cancel()
        else:
            await asyncio.sleep(0)
        assert sum(len(place.running) for place in places) <= gates[0].in_flight <= value
    for _ in range(4 * len(actions) + 20):
        for future in (future for place in places for future in place.running.values()):
            if not future.done():
                future.set_result(Outcome.ok)
        await asyncio.sleep(0)
    assert all(task.done() for task in tasks)
    assert all(task.cancelled() or task.exception() is None for task in tasks)
    assert gates[0].in_flight == 0
    assert all(gate.vacant for gate in gates)

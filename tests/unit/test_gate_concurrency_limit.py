"""The concurrency limit: slots in order of arrival, none lost, whatever is cancelled or resized meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.limits.fixed import Fixed
from harness.client.types import Outcome, Request, Response, Sample


def request(path: str = "/", **fields: Any) -> Request:
    return Request((), None, path, b"", **fields)  # type: ignore[arg-type] # no task is needed here


class Server:
    """An inner send whose attempts end on request."""

    def __init__(self) -> None:
        self.running: dict[str, asyncio.Future[Outcome]] = {}
        self.order: list[str] = []

    async def __call__(self, request: Request, /) -> Response:
        self.order.append(request.path)
        self.running[request.path] = asyncio.get_running_loop().create_future()
        try:
            return Response(await self.running[request.path], sent=1.0, done=2.0)
        finally:
            del self.running[request.path]

    def end(self, path: str, outcome: Outcome = Outcome.ok) -> None:
        self.running[path].set_result(outcome)


class Scripted:
    """A limit that takes the next value of a list at each update and keeps its samples."""

    def __init__(self, *values: int) -> None:
        self.values = list(values)
        self.samples: list[Sample] = []

    @property
    def value(self) -> int:
        return self.values[0]

    def update(self, sample: Sample, /) -> None:
        self.samples.append(sample)
        if len(self.values) > 1:
            self.values.pop(0)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_slots_are_given_in_order_of_arrival() -> None:
    server = Server()
    gate = ConcurrencyLimit(server, Fixed(2))
    tasks = [asyncio.create_task(gate(request(str(n)))) for n in range(6)]
    await settle()
    assert (gate.in_flight, gate.waiting, gate.vacant) == (2, 4, False)
    for n in (1, 0, 2, 3, 4, 5):
        server.end(str(n))
        await settle()
    await asyncio.gather(*tasks)
    assert server.order == list("012345")
    assert (gate.in_flight, gate.waiting, gate.vacant) == (0, 0, True)


async def test_nobody_overtakes_a_slot_that_was_handed_on() -> None:
    """A newcomer in the same turn of the loop as a release goes behind those in line."""
    server = Server()
    gate = ConcurrencyLimit(server, Fixed(1))
    first, second = (asyncio.create_task(gate(request(name))) for name in "ab")
    await settle()
    server.end("a")
    third = asyncio.create_task(gate(request("c")))
    await settle()
    assert server.order == ["a", "b"]
    server.end("b")
    await settle()
    server.end("c")
    await asyncio.gather(first, second, third)


async def test_one_who_is_cancelled_just_as_the_slot_comes_hands_it_on() -> None:
    server = Server()
    gate = ConcurrencyLimit(server, Fixed(1))
    tasks = [asyncio.create_task(gate(request(name))) for name in "abc"]
    await settle()
    server.end("a")
    await asyncio.sleep(0)  # `a` has left, `b` was served but has not run
    tasks[1].cancel()
    await settle()
    assert server.order == ["a", "c"]
    server.end("c")
    await asyncio.gather(*tasks, return_exceptions=True)
    assert tasks[1].cancelled()
    assert gate.in_flight == 0


async def test_an_attempt_that_is_cancelled_or_raises_frees_its_slot() -> None:
    server = Server()
    gate = ConcurrencyLimit(server, Scripted(1))
    task = asyncio.create_task(gate(request("a")))
    await settle()
    task.cancel()
    await settle()
    assert gate.in_flight == 0

    async def broken(request: Request, /) -> Response:
        raise RuntimeError("a bug")

    gate = ConcurrencyLimit(broken, Fixed(1))
    with pytest.raises(RuntimeError, match="a bug"):
        await gate(request("a"))
    assert gate.vacant


async def test_the_limit_learns_from_each_attempt_what_it_was_admitted_under() -> None:
    server, limit = Server(), Scripted(2, 3, 3, 1)
    gate = ConcurrencyLimit(server, limit)
    tasks = [asyncio.create_task(gate(request(str(n)))) for n in range(4)]
    await settle()
    for n in range(4):
        server.end(str(n), Outcome.rejected if n == 3 else Outcome.ok)
        await settle()
    await asyncio.gather(*tasks)
    seen = [(sample.in_flight, sample.limit, sample.generation, sample.outcome.name) for sample in limit.samples]
    assert seen == [(1, 2, 0, "ok"), (2, 2, 0, "ok"), (3, 3, 1, "ok"), (3, 3, 1, "rejected")]
    assert gate.generation == 2


async def test_a_larger_limit_acts_at_once_and_a_smaller_one_as_attempts_end() -> None:
    server, limit = Server(), Scripted(1)
    gate = ConcurrencyLimit(server, limit)
    tasks = [asyncio.create_task(gate(request(str(n)))) for n in range(5)]
    await settle()
    limit.values = [3]
    gate.resized()
    await settle()
    assert (gate.in_flight, gate.generation) == (3, 1)
    limit.values = [1]
    gate.resized()
    for n in range(4):
        server.end(str(n))
        await settle()
        assert gate.in_flight == max(1, 2 - n)
    server.end("4")
    await asyncio.gather(*tasks)


async def test_one_whose_deadline_passes_in_line_is_not_sent() -> None:
    server = Server()
    gate = ConcurrencyLimit(server, Fixed(1))
    first = asyncio.create_task(gate(request("a")))
    await settle()
    now = asyncio.get_running_loop().time()
    response = await gate(request("b", deadline=now + 0.01))
    assert (response.outcome, response.attempts, gate.waiting) == (Outcome.not_sent, 0, 0)
    assert response.done >= now + 0.009
    second = asyncio.create_task(gate(request("c", deadline=now + 100.0)))
    await settle()
    server.end("a")
    await settle()
    server.end("c")
    assert (await first).outcome is (await second).outcome is Outcome.ok


async def test_word_of_a_vacancy_that_is_not_used_reaches_everyone_who_watches() -> None:
    gate = ConcurrencyLimit(Server(), Fixed(1))
    holder = asyncio.create_task(gate(request("a")))
    await settle()
    watchers = [asyncio.create_task(gate.vacancy()) for _ in range(4)]
    await settle()
    assert not any(watcher.done() for watcher in watchers)
    holder.cancel()
    await asyncio.wait_for(asyncio.gather(*watchers), 30.0)


async def test_watchers_who_use_the_slot_go_one_at_a_time_in_order() -> None:
    server = Server()
    gate = ConcurrencyLimit(server, Fixed(1))

    async def worker(name: str) -> None:
        await gate.vacancy()
        assert gate.vacant
        await gate(request(name))

    tasks = [asyncio.create_task(worker(name)) for name in "abcd"]
    for name in "abcd":
        await settle()
        assert list(server.running) == [name]
        assert gate.waiting == 0
        server.end(name)
    await asyncio.gather(*tasks)
    assert server.order == list("abcd")


async def test_a_watcher_who_was_overtaken_is_the_next_one_to_get_word() -> None:
    server = Server()
    gate = ConcurrencyLimit(server, Fixed(1))
    holder = asyncio.create_task(gate(request("a")))
    await settle()
    order: list[str] = []

    async def watch(name: str) -> None:
        await gate.vacancy()
        order.append(name)

    watchers = [asyncio.create_task(watch(name)) for name in "xy"]
    await settle()
    server.end("a")
    await asyncio.sleep(0)  # `x` got word, but has not run
    thief = asyncio.create_task(gate(request("b")))
    gate.in_flight += 1  # the slot is taken before `x` runs
    await settle()
    assert order == []
    gate.in_flight -= 1
    gate.resized()
    await settle()
    server.end("b")
    await asyncio.gather(holder, thief, *watchers)
    assert order == ["x", "y"]


async def test_a_watcher_cancelled_after_it_got_word_passes_it_on() -> None:
    server = Server()
    gate = ConcurrencyLimit(server, Fixed(1))
    holder = asyncio.create_task(gate(request("a")))
    first, second, third = (asyncio.create_task(gate.vacancy()) for _ in range(3))
    await settle()
    third.cancel()  # before it got word
    server.end("a")
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait_for(second, 30.0)
    await holder
    assert first.cancelled()
    assert third.cancelled()


async def test_one_that_is_closed_in_line_leaves_it_and_its_deadline_changes_nothing() -> None:
    """A task that a loop drops at its end is closed, not cancelled: the future that it awaits stays open."""
    server = Server()
    gate = ConcurrencyLimit(server, Fixed(1))
    first = asyncio.create_task(gate(request("a")))
    await settle()
    waiting = gate(request("b", deadline=asyncio.get_running_loop().time() + 0.01))
    waiting.send(None)
    assert gate.waiting == 1
    waiting.close()
    assert gate.waiting == 0
    await asyncio.sleep(0.03)
    server.end("a")
    await first
    assert (gate.in_flight, server.order) == (0, ["a"])


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["call", "watch", "end", "cancel", "resize", "turn"]), st.integers(0, 30)),
    max_size=60,
)


@pytest.mark.no_cover
@given(ACTIONS, st.integers(1, 4))
@settings(max_examples=300, deadline=None)
def test_no_slot_and_no_wake_up_is_ever_lost(actions: list[tuple[str, int]], value: int) -> None:
    """Whatever is cancelled, ended and resized in whatever order, in the end all who were not cancelled are served."""
    asyncio.run(_play(actions, value))


async def _play(actions: list[tuple[str, int]], value: int) -> None:
    server, limit = Server(), Fixed(value)
    gate = ConcurrencyLimit(server, limit)
    current = value
    tasks: list[asyncio.Task[Any]] = []
    for number, (action, pick) in enumerate(actions):
        if action == "call":
            tasks.append(asyncio.create_task(gate(request(str(number)))))
        elif action == "watch":
            tasks.append(asyncio.create_task(gate.vacancy()))
        elif action == "end" and server.running:
            future = list(server.running.values())[pick % len(server.running)]
            if not future.done():
                future.set_result(Outcome.ok)
        elif action == "cancel" and tasks:
            tasks[pick % len(tasks)].cancel()
        elif action == "resize":
            current = 1 + pick % 4
            gate.limit = Fixed(current)
            gate.resized()
        else:
            await asyncio.sleep(0)
        assert len(server.running) <= gate.in_flight
        assert not (gate.waiting and gate.in_flight < current and not _anyone_is_leaving(tasks))
    for _ in range(4 * len(actions) + 20):
        for future in server.running.values():
            if not future.done():
                future.set_result(Outcome.ok)
        await asyncio.sleep(0)
    assert all(task.done() for task in tasks)
    assert all(task.cancelled() or task.exception() is None for task in tasks)
    assert (gate.in_flight, gate.waiting, gate.vacant) == (0, 0, True)


def _anyone_is_leaving(tasks: list[asyncio.Task[Any]]) -> bool:
    return any(task.cancelling() and not task.done() for task in tasks)


def test_what_was_never_sent_does_not_reach_the_limit() -> None:
    """The transport stamps no `sent` where the deadline passed a moment after the slot came."""
    taught: list[Sample] = []

    class Noting:
        value = 4

        def update(self, sample: Sample, /) -> None:
            taught.append(sample)

    async def inner(request: Request, /) -> Response:
        if request.path == "/late":
            return Response(Outcome.not_sent, done=2.0, error="its deadline passed before it could be sent")
        return Response(Outcome.ok, sent=1.0, done=2.0)

    async def main() -> None:
        gate = ConcurrencyLimit(inner, Noting())
        for path in ("/late", "/good", "/late"):
            await gate(request(path))

    asyncio.run(main())
    assert [sample.outcome for sample in taught] == [Outcome.ok]

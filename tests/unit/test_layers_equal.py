"""Coalescing and the exact cache: what is shared, what is kept, and who is charged."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.client.cache.equality import key_of
from harness.client.cache.kept_answers import AnswerCodec
from harness.client.cache.store import AnswerStore
from harness.client.cancellation import partial_of
from harness.client.errors import SettingError, UsageError
from harness.client.layers.cache import Cache
from harness.client.layers.coalesce import Coalesce
from harness.client.layers.retry import Retry
from harness.client.tasks.chat import Chat, Completion, Message, Usage
from harness.client.tasks.fill_mask import Candidate, FillMask
from harness.client.tasks.similarity import Similarity
from harness.client.tasks.zero_shot import ZeroShot
from harness.client.types import Item, Outcome, Request, Response
from tests.unit.layer_helpers import ANNOTATE, Server, ask, embed, exchanges, virtually

HOT = Chat(temperature=0.7)


def test_equal_requests_in_flight_share_one_exchange_which_is_counted_once() -> None:
    server = Server()

    async def main() -> list[Response]:
        send = Coalesce(server)
        return await asyncio.gather(*(send(ask("same", n)) for n in range(10)), send(ask("other")))

    responses = virtually(main())
    assert server.seen == 2 == sum(map(exchanges, responses))
    assert [response.answers for response in responses] == [("re: same",)] * 10 + [("re: other",)]
    assert [response.from_cache for response in responses] == [False] + [True] * 9 + [False]


@pytest.mark.parametrize("leaver", [0, 3])
def test_a_cancelled_caller_fails_no_other(leaver: int) -> None:
    server = Server()

    async def main() -> list[Any]:
        send = Coalesce(server)
        tasks = [asyncio.create_task(send(ask("same", n))) for n in range(5)]
        await asyncio.sleep(0.05)
        tasks[leaver].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = virtually(main())
    assert isinstance(results.pop(leaver), asyncio.CancelledError)
    assert all(response.outcome is Outcome.ok for response in results)
    assert (server.seen, server.cancelled, sum(map(exchanges, results))) == (1, 0, 1)


def test_when_all_are_cancelled_the_exchange_is_too_and_the_last_is_charged() -> None:
    server, charged = Server(), list[Response]()

    async def main() -> None:
        send = Coalesce(server)

        async def recorded(number: int) -> None:
            try:
                await send(ask("same", number))
            except asyncio.CancelledError as cancelled:
                charged.extend(filter(None, [partial_of(cancelled)]))
                raise

        tasks = [asyncio.create_task(recorded(n)) for n in range(3)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (await send(ask("same"))).outcome is Outcome.ok  # and nothing of it is left in the way

    virtually(main())
    assert (server.seen, server.cancelled, [exchanges(response) for response in charged]) == (2, 1, [1])


def test_a_failure_is_shared_so_that_a_server_in_trouble_is_not_asked_more_often() -> None:
    server = Server(becomes=lambda n: Outcome.server_error)

    async def main() -> list[Response]:
        send = Coalesce(server)
        return await asyncio.gather(*(send(ask("same", n)) for n in range(4)))

    responses = virtually(main())
    assert {response.outcome for response in responses} == {Outcome.server_error}
    assert server.seen == 1 == sum(map(exchanges, responses))
    assert not any(response.from_cache for response in responses)


def test_what_the_first_ones_deadline_prevented_the_others_do_again() -> None:
    class Late(Server):
        async def __call__(self, request: Request, /) -> Response:
            if request.deadline < 1.0:
                await asyncio.sleep(0.01)
                return Response(Outcome.not_sent, done=0.01)
            return await super().__call__(request)

    server = Late()

    async def main() -> list[Response]:
        send = Coalesce(server)
        return await asyncio.gather(send(ask("same", deadline=0.5)), send(ask("same")), send(ask("same")))

    responses = virtually(main())
    assert [response.outcome.name for response in responses] == ["not_sent", "ok", "ok"]
    assert server.seen == 1 == sum(map(exchanges, responses))


def test_a_follower_waits_no_longer_than_its_own_deadline() -> None:
    server = Server(lambda n: 5.0)

    async def main() -> list[Response]:
        send = Coalesce(server)
        return await asyncio.gather(send(ask("same")), send(ask("same", deadline=1.0)))

    first, second = virtually(main())
    assert (first.outcome, second.outcome) == (Outcome.ok, Outcome.timed_out)
    assert second.done == pytest.approx(1.0)
    assert exchanges(second) == 0


def test_sampled_answers_and_those_with_effects_are_neither_shared_nor_kept() -> None:
    server = Server(answer=lambda request: (Completion("x", "stop"),))
    hot = HOT.request((Item(0, (Message("user", "hi"),), HOT),))

    async def main() -> None:
        for send in (Coalesce(server), Cache(server)):
            await asyncio.gather(send(hot), send(hot))
            await asyncio.gather(send(ask(idempotent=False)), send(ask(idempotent=False)))
        for send in (Coalesce(server, sampled=True), Cache(server, sampled=True)):
            await send(hot)

    virtually(main())
    assert server.seen == 10


def test_an_answer_is_kept_until_it_expires() -> None:
    server = Server()

    async def main() -> list[Response]:
        send = Cache(server, ttl_s=10.0)
        responses = [await send(ask()), await send(ask())]
        await asyncio.sleep(11.0)
        assert (send.hits, send.misses) == (1, 1)
        return [*responses, await send(ask())]

    responses = virtually(main())
    assert [response.from_cache for response in responses] == [False, True, False]
    assert server.seen == 2 == sum(map(exchanges, responses))


@pytest.mark.parametrize("outcome", [o for o in Outcome if o not in (Outcome.ok, Outcome.rejected)])
def test_nothing_but_what_is_ok_is_kept(outcome: Outcome) -> None:
    server = Server(becomes=lambda n: outcome)

    async def main() -> None:
        send = Cache(server)
        for _ in range(3):
            await send(ask())

    virtually(main())
    assert server.seen == 3


def test_a_call_of_a_tool_is_no_answer_to_keep() -> None:
    task = Chat()
    server = Server(answer=lambda request: (Completion("", "tool_calls"),))

    async def main() -> None:
        send = Cache(server)
        for _ in range(2):
            await send(task.request((Item(0, (Message("user", "hi"),), task),)))

    virtually(main())
    assert server.seen == 2


def test_memory_holds_so_many_and_the_longest_unused_goes_first() -> None:
    server = Server()

    async def main() -> None:
        send = Cache(server, entries=2)
        for text in ("a", "b", "a", "c", "a", "b"):  # c drives out b
            await send(ask(text))

    virtually(main())
    assert [request.items[0].data for request in server.requests] == ["a", "b", "c", "b"]


def test_of_several_items_only_those_not_known_are_sent() -> None:
    server = Server()

    async def main() -> list[Response]:
        send = Cache(server)
        return [await send(embed("a", "b")), await send(embed("b", "c", "a")), await send(embed("c", "b"))]

    _, second, third = virtually(main())
    assert [len(request.items) for request in server.requests] == [2, 1]
    assert second.answers == ("re: b", "re: c", "re: a")
    assert (second.from_cache, second.cached_items) == (False, frozenset({0, 2}))
    assert (third.from_cache, third.answers, exchanges(third)) == (True, ("re: c", "re: b"), 0)


def test_parameters_scope_and_headers_set_requests_apart() -> None:
    other = type(ANNOTATE)(max_tokens=65)
    requests = [ask(), ask(headers={"x-tenant": "a"}), other.request((Item(0, "hello", other),)), ask("hello ")]
    keys = [key_of(request) for request in requests] + [key_of(ask(), b"scope")]
    assert len(set(keys)) == len(keys)
    assert key_of(ask(index=7, deadline=3.0)) == key_of(ask())


async def test_a_file_outlives_the_cache_that_wrote_it(tmp_path: Path) -> None:
    path, server = str(tmp_path / "answers.sqlite"), Server(lambda n: 0.0)
    for _ in range(2):
        send = Cache(server, path=path)
        responses = [await send(ask(str(n))) for n in range(20)]
        await send.aclose()
    assert server.seen == 20
    assert all(response.from_cache and response.answers == (f"re: {n}",) for n, response in enumerate(responses))
    assert send.hits == 20


async def test_two_caches_may_share_a_file_while_both_are_open(tmp_path: Path) -> None:
    path, server = str(tmp_path / "answers.sqlite"), Server(lambda n: 0.0)
    one, other = Cache(server, path=path), Cache(server, path=path)
    await asyncio.gather(*(send(ask(f"{n}{m}")) for n in range(50) for m, send in enumerate((one, other))))
    await one.aclose()
    await other.aclose()
    with sqlite3.connect(path) as file:
        assert file.execute("SELECT count(*) FROM answers").fetchone() == (100,)
    file.close()


def test_a_file_has_a_bound_too_and_drops_what_expires_first(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path / "a.sqlite", rows_max=100)
    for number in range(500):
        store.put(number.to_bytes(2, "big"), 1000.0 + number, b"x")
    store.close()
    store = AnswerStore(tmp_path / "a.sqlite", rows_max=100)
    kept = [number for number in range(500) if store.get(number.to_bytes(2, "big"), 0.0)]
    assert store.get((499).to_bytes(2, "big"), 2000.0) is None  # expired
    store.close()
    assert 90 <= len(kept) <= 100
    assert kept == list(range(500 - len(kept), 500))


async def test_a_file_that_fails_costs_hits_and_never_an_answer(tmp_path: Path) -> None:
    path, server = tmp_path / "answers.sqlite", Server(lambda n: 0.0)
    send = Cache(server, path=str(path), entries=1)
    await send(ask("a"))
    with sqlite3.connect(path, isolation_level=None) as file:
        while not file.execute("SELECT count(*) FROM answers").fetchone()[0]:  # the writer has begun, and is idle again
            await asyncio.sleep(0.01)
        file.execute("DROP TABLE answers")
    file.close()
    for text in ("b", "a", "b"):
        assert (await send(ask(text))).outcome is Outcome.ok
    assert send.error is not None
    assert "no such table" in send.error
    await send.aclose()


def test_what_is_no_cache_of_ours_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database at all, but long enough to be taken for one" * 100)
    with sqlite3.connect(tmp_path / "other.db") as file:
        file.execute("CREATE TABLE users (name TEXT)")
    file.close()
    with pytest.raises(UsageError, match="cannot be used as a cache"):
        AnswerStore(tmp_path / "text")
    with pytest.raises(UsageError, match="another program's database"):
        AnswerStore(tmp_path / "other.db")
    with pytest.raises(SettingError, match="there is no directory"):
        Cache(Server(), path=str(tmp_path / "no" / "where.sqlite"))
    with pytest.raises(SettingError, match="ttl_s"):
        Cache(Server(), ttl_s=0.0)


CANDIDATE = Candidate(0.5, 7, "sat", "the cat sat")


@pytest.mark.parametrize(
    ("task", "answers"),
    [
        (ANNOTATE, ("text 字",)),
        (Similarity(), (0.25,)),
        (ZeroShot(), ({"sport": 0.75, "travel": 0.25},)),
        (FillMask(), (((CANDIDATE, CANDIDATE), (CANDIDATE,)),)),
        (Chat(), (Completion("hello", "stop", Usage(3, 4)),)),
        (type(embed("x").task)(), ((0.5, -0.5), (1.0, 0.0))),
    ],
)
def test_answers_of_every_task_come_back_equal_from_bytes(task: Any, answers: tuple[Any, ...]) -> None:
    codec = AnswerCodec()
    value = codec.encode(task, answers)
    assert value is not None
    assert codec.decode(task, value) == answers
    assert AnswerCodec().decode(task, b"\xc1 no message pack") is None


def test_answers_that_do_not_come_back_equal_stay_in_memory() -> None:
    class Odd:
        def answer(self, request: Request, body: bytes, /) -> tuple[Any, ...]:
            raise NotImplementedError

    codec = AnswerCodec()
    assert codec.encode(Odd(), (complex(1, 2),)) is None  # type: ignore[arg-type] # a task in all that matters
    assert codec.encode(Odd(), ({1, 2},)) is None  # type: ignore[arg-type] # as above: a set comes back as a list


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=30), st.integers(0, 2**16))
def test_whatever_comes_everyone_is_answered_and_every_exchange_is_charged_once(texts: list[str], seed: int) -> None:
    """Cache, coalescing and retries together, on a server that fails now and then."""
    server = Server(
        lambda n: 0.05 + (n * seed % 7) / 50, lambda n: Outcome.server_error if (n * 31 + seed) % 4 == 0 else Outcome.ok
    )

    async def main() -> list[Response]:
        send = Cache(Coalesce(Retry(server, retries=2, base_s=0.01)))

        async def later(number: int, text: str) -> Response:
            await asyncio.sleep(number % 5 / 20)
            return await send(ask(text, number))

        return await asyncio.gather(*(later(number, text) for number, text in enumerate(texts)))

    responses = virtually(main())
    assert sum(map(exchanges, responses)) == server.seen
    for text, response in zip(texts, responses, strict=True):
        assert response.outcome is not Outcome.ok or response.answers == (f"re: {text}",)


def test_a_callers_deadline_leaves_the_attempt_to_one_who_waits_for_its_end() -> None:
    """The first caller is too late while another waits: the exchange is counted once, with its stamps."""
    server = Server(takes=lambda n: 1.0)

    async def main() -> list[Response]:
        async def without_deadline(request: Request, /) -> Response:
            return await server(msgspec.structs.replace(request, deadline=math.inf))

        send = Coalesce(without_deadline)
        loop = asyncio.get_running_loop()
        first = asyncio.create_task(send(ask("same", 0, deadline=loop.time() + 0.5)))
        await asyncio.sleep(0.1)
        second = asyncio.create_task(send(ask("same", 1)))
        return [await first, await second]

    first, second = virtually(main())
    assert (first.outcome, exchanges(first)) == (Outcome.timed_out, 0)
    assert (second.outcome, exchanges(second)) == (Outcome.ok, 1)
    assert server.seen == 1

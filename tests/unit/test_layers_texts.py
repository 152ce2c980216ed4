"""Long texts in pieces, and batches that follow the latency."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.client.errors import SettingError
from harness.client.layers.chunk import Chunk
from harness.client.layers.retry import Retry
from harness.client.layers.semantic_cache import SemanticCache
from harness.client.tasks.chat import Chat, Completion, Message, Usage
from harness.client.text.chunks import chunks, sentences
from harness.client.text.tokens import estimate_tokens
from harness.client.types import Item, Outcome, Request, Response, Result, Task
from harness.strategies._batch_size import BatchSize
from harness.strategies.adaptive_batch import AdaptiveBatch
from tests.unit.layer_helpers import ANNOTATE, EMBED, Server, ask, embed, exchanges, virtually

PROSE = st.text(st.sampled_from("ab c.!?。！？，, \n”A1"), max_size=300) | st.text(max_size=120)


@given(PROSE, st.integers(1, 40))
def test_pieces_joined_are_the_text_and_none_is_over_the_budget(text: str, budget: int) -> None:
    pieces = chunks(text, budget)
    assert "".join(pieces) == text
    assert all(estimate_tokens(piece) <= budget for piece in pieces)
    assert all(pieces) or text == ""
    assert "".join(sentences(text)) == text


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two! Three? Four", ["One. ", "Two! ", "Three? ", "Four"]),
        ("今天下雨。我没带伞！怎么办？走吧", ["今天下雨。", "我没带伞！", "怎么办？", "走吧"]),
        ("Mr. Smith paid 3.50 to Dr. J. Doe. He left.", ["Mr. Smith paid 3.50 to Dr. J. Doe. ", "He left."]),
        ("He said “stop.” Then he left.", ["He said “stop.” ", "Then he left."]),
        ("他说：“好。”然后走了。", ["他说：“好。”", "然后走了。"]),
        ("approx. three, e.g. this one. Next.", ["approx. three, e.g. this one. ", "Next."]),
        ("First line\nSecond line", ["First line\n", "Second line"]),
        ("v1.2.3 is out… 真的吗？！是的。", ["v1.2.3 is out… ", "真的吗？！", "是的。"]),
        ("", []),
    ],
)
def test_sentences_end_where_people_end_them(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


def test_one_sentence_over_the_budget_is_cut_at_clauses_then_words_then_anywhere() -> None:
    assert chunks("alpha beta, gamma delta, epsilon zeta", 4) == ["alpha beta, ", "gamma delta, ", "epsilon zeta"]
    assert chunks("alpha beta gamma delta", 3) == ["alpha beta ", "gamma delta"]
    assert chunks("字" * 10, 4) == ["字字字字", "字字字字", "字字"]
    with pytest.raises(SettingError, match="tokens_max"):
        chunks("x", 0)


LONG = "".join(f"Sentence number {n} is here. " for n in range(12))


def test_a_long_text_goes_out_in_pieces_whose_answers_are_joined_in_order() -> None:
    server = Server(lambda n: 0.5 - 0.1 * n)

    async def main() -> tuple[Response, Response]:
        send = Chunk(server, tokens=21, parallel=2, join="|")
        return await send(ask(LONG)), await send(ask("short"))

    long, short = virtually(main())
    pieces = [request.items[0].data for request in server.requests[:-1]]
    assert "".join(pieces) == LONG
    assert len(pieces) == 4
    assert long.answers == ("|".join(f"re: {piece}" for piece in pieces),)
    assert (exchanges(long), exchanges(short)) == (4, 1)
    assert long.first_sent == 0.0
    assert max(server.starts[:4]) > 0.0  # two at once, not four


def test_a_piece_that_fails_fails_the_whole_with_all_exchanges_counted() -> None:
    server = Server(becomes=lambda n: Outcome.client_error if n == 1 else Outcome.ok)

    async def main() -> Response:
        return await Chunk(server, tokens=7, parallel=2)(ask(LONG))

    response = virtually(main())
    assert response.outcome is Outcome.client_error
    assert "piece 2 of 12" in (response.error or "")
    assert exchanges(response) == server.seen <= 3


def test_each_piece_is_retried_for_itself() -> None:
    server = Server(becomes=lambda n: Outcome.server_error if n == 1 else Outcome.ok)

    async def main() -> Response:
        return await Chunk(Retry(server), tokens=21)(ask(LONG))

    response = virtually(main())
    assert response.outcome is Outcome.ok
    assert exchanges(response) == server.seen == 5


def test_a_cancelled_text_is_charged_with_the_pieces_that_were_sent() -> None:
    server, charged = Server(lambda n: 1.0), list[Response]()

    async def main() -> None:
        async def recorded() -> None:
            try:
                await Chunk(server, tokens=7, parallel=3)(ask(LONG))
            except asyncio.CancelledError as cancelled:
                charged.append(cancelled.response)  # type: ignore[attr-defined] # as the transport leaves it
                raise

        task = asyncio.create_task(recorded())
        await asyncio.sleep(1.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtually(main())
    assert (server.seen, exchanges(charged[0])) == (6, 6)


def test_conversations_are_cut_in_their_last_message_and_their_tokens_added_up() -> None:
    task = Chat()
    system = Message("system", "Be brief.")
    server = Server(answer=lambda request: (Completion("ok", "stop", Usage(10, 2)),))

    async def main() -> Response:
        request = task.request((Item(0, (system, Message("user", LONG)), task),))
        return await Chunk(server, tokens=21, join=" ")(request)

    response = virtually(main())
    assert response.answers == (Completion("ok ok ok ok", "stop", Usage(40, 8)),)
    assert all(request.items[0].data[0] == system for request in server.requests)


def test_what_cannot_be_joined_is_sent_as_it_is() -> None:
    server = Server()

    async def main() -> None:
        await Chunk(server, tokens=2)(embed(LONG))

    virtually(main())
    assert server.seen == 1


# Adaptive batches


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.booleans(), st.booleans()), max_size=60))
def test_a_batch_size_stays_within_its_bounds_and_moves_as_it_says(answers: list[tuple[float, bool, bool]]) -> None:
    size = BatchSize(8, 2, 64, 0.5, 1.0)
    for latency_s, ok, full in answers:
        before = size.value
        size.update(before, before if full else before - 1, latency_s, ok)
        if not ok or latency_s > 1.0:
            assert size.value == max(2, before // 2)
        elif latency_s < 0.5 and full:
            assert size.value == min(64, before * 2)
        else:
            assert size.value == before


def test_answers_to_an_older_size_move_nothing() -> None:
    size = BatchSize(16, 1, 64, 0.5, 1.0)
    for _ in range(4):  # four were in flight when it became too much: it is halved once
        size.update(16, 16, 2.0, True)
    assert size.value == 8


async def items(number: int, task: Any = EMBED) -> AsyncIterator[Item]:
    for index in range(number):
        yield Item(index, f"text {index}", task)


def stream(strategy: AdaptiveBatch, server: Any, number: int, task: Any = EMBED) -> list[Result]:
    async def main() -> list[Result]:
        return [result async for result in strategy.stream(items(number, task), server)]

    return virtually(main())


def test_batches_grow_while_the_server_is_quick_and_settle_between_the_bounds() -> None:
    """0.1 s and 10 ms an item: 64 items take 0.74 s, over `high_s`; 32 take 0.42 s, in between."""
    sizes: list[int] = []

    async def server(request: Request, /) -> Response:
        loop = asyncio.get_running_loop()
        sent = loop.time()
        sizes.append(len(request.items))
        await asyncio.sleep(0.1 + 0.01 * len(request.items))
        answers = tuple(item.data for item in request.items)
        return Response(Outcome.ok, 200, answers, sent, loop.time(), loop.time())

    results = stream(AdaptiveBatch(low_s=0.3, high_s=0.5), server, 3000)
    assert sorted(result.item.index for result in results) == list(range(3000))
    assert all(result.answer == result.item.data for result in results)
    assert sizes[0] <= 8
    assert set(sizes[20:-4]) == {32}


def test_batches_shrink_where_large_ones_fail() -> None:
    class Picky(Server):
        async def __call__(self, request: Request, /) -> Response:
            response = await super().__call__(request)
            if len(request.items) > 4:
                response.outcome, response.answers = Outcome.timed_out, ()
            return response

    server = Picky(lambda n: 0.4)
    results = stream(AdaptiveBatch(size=32, low_s=0.1, high_s=1.0, concurrency=1), server, 400)
    assert len(results) == 400
    assert [len(request.items) for request in server.requests][:5] == [32, 16, 8, 4, 4]
    assert sum(not result.ok for result in results) == 32 + 16 + 8


def test_a_task_that_takes_one_item_is_sent_one_by_one_and_nothing_is_lost() -> None:
    server = Server()
    results = stream(AdaptiveBatch(), server, 50, ANNOTATE)
    assert sorted(result.item.index for result in results) == list(range(50))
    assert {len(request.items) for request in server.requests} == {1}


def test_an_input_that_breaks_is_reported_after_the_items_given_out() -> None:
    async def broken() -> AsyncIterator[Item]:
        for index in range(20):
            yield Item(index, "x", EMBED)
        raise OSError("the disk is gone")

    got: list[Result] = []

    async def main() -> None:
        async for result in AdaptiveBatch(size=4).stream(broken(), Server(lambda n: 0.5)):
            got.append(result)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(OSError, match="the disk is gone"):
        virtually(main())
    assert len(got) == 20


def test_leaving_early_cancels_what_is_in_flight() -> None:
    server = Server(lambda n: 1.0 + n)

    async def main() -> None:
        results = AdaptiveBatch(size=2, concurrency=3).stream(items(1000), server)
        async for _ in results:
            break
        await results.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtually(main())
    assert server.cancelled == 3


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"size": 100}, "size=100"), ({"low_s": 2.0}, "low_s=2.0"), ({"concurrency": 0}, "concurrency")],
)
def test_a_setting_out_of_range_is_named(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        AdaptiveBatch(**settings)


@dataclass(frozen=True)
class Summarize:
    """A task of one's own: data of its own kind, and one text in it."""

    name: str = "summarize"

    def request(self, items: Sequence[Item], /) -> Request:
        (item,) = items
        return Request((item,), cast(Task, self), "/summarize", json.dumps(item.data).encode())

    def text_of(self, data: dict[str, str], /) -> str | None:
        return data.get("document")

    def with_text(self, data: dict[str, str], text: str, /) -> dict[str, str]:
        return {**data, "document": text}

    def joined(self, answers: Sequence[list[str]], separator: str, /) -> list[str]:
        return [line for answer in answers for line in answer]


def summarize(task: Summarize, **data: str) -> Request:
    return task.request((Item(0, data, cast(Task, task)),))


def test_a_task_of_ones_own_that_declares_its_text_is_sent_in_chunks() -> None:
    """It says what its text is and how answers are joined; nothing knows it by name."""
    task, server = Summarize(), Server(answer=lambda request: ([request.items[0].data.get("document")],))

    async def main() -> tuple[Response, Response]:
        send = Chunk(server, tokens=21, parallel=2)
        return await send(summarize(task, document=LONG, style="brief")), await send(summarize(task, other=LONG))

    response, without = virtually(main())
    assert len(response.answers[0]) == 4
    assert "".join(response.answers[0]) == LONG
    assert {request.items[0].data.get("style") for request in server.requests[:4]} == {"brief"}
    assert exchanges(without) == 1


def test_a_task_of_ones_own_is_cached_by_meaning() -> None:
    """The same text in other words is a hit; with another style it is not."""
    task, server = Summarize(), Server(answer=lambda request: (["short"],))

    async def main() -> list[bool]:
        send = SemanticCache(server, embed=lambda text: [1.0, 0.0], shadow=0.0)
        texts = [("the cat sat down", "brief"), ("the cat sat down.", "brief"), ("the cat sat down.", "long")]
        return [(await send(summarize(task, document=text, style=style))).from_cache for text, style in texts]

    assert virtually(main()) == [False, True, False]


def test_a_task_that_declares_no_text_is_left_alone() -> None:
    @dataclass(frozen=True)
    class Opaque:
        name: str = "opaque"

        def request(self, items: Sequence[Item], /) -> Request:
            return Request(tuple(items), cast(Task, self), "/opaque", str(items[0].data).encode())

    server, task = Server(), cast(Task, Opaque())

    async def main() -> None:
        await Chunk(server, tokens=2)(task.request((Item(0, LONG, task),)))

    virtually(main())
    assert server.seen == 1

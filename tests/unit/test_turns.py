"""Closed sessions: a turn waits for the answer to the turn before it, and requests never wait for each other."""

from __future__ import annotations

import asyncio
from array import array

from harness.client.tasks.similarity import Similarity
from harness.client.types import Item, Outcome, Request, Response
from harness.load.traces.closed_turns import Turns
from tests.virtual_time import virtually

TASK = Similarity()


def request(*positions: int) -> Request:
    """A request for these items."""
    return Request(tuple(Item(position, ("a", "b"), TASK) for position in positions), TASK, "/", b"")


async def played(befores: list[int], requests: list[Request]) -> list[tuple[int, ...]]:
    """The items of each request, in the order in which they are sent; an exchange takes a second."""
    sent: list[tuple[int, ...]] = []

    async def inner(asked: Request, /) -> Response:
        sent.append(tuple(item.index for item in asked.items))
        await asyncio.sleep(1)
        return Response(Outcome.ok)

    send = Turns(array("q", befores)).layer(inner)
    async with asyncio.timeout(60):
        await asyncio.gather(*(send(one) for one in requests))
    return sent


def test_a_turn_waits_for_the_answer_to_the_turn_before_it() -> None:
    """Item 2 follows item 0; item 1 is of another session."""
    assert virtually(played([-1, -1, 0], [request(0), request(2), request(1)])) == [(0,), (1,), (2,)]


def test_two_requests_with_crossed_turns_do_not_wait_for_each_other() -> None:
    """Each has a turn that follows one of the other, as batches by length may have; the first waits for a third one."""
    befores = [-1, 0, -1, 2, 1]
    assert virtually(played(befores, [request(0), request(1, 3), request(2, 4)])) == [(0,), (1, 3), (2, 4)]

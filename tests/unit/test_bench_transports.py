"""The benchmark of the transports runs, small, prints every client, and is content with all answers only."""

from __future__ import annotations

import asyncio

import pytest

from harness.client.types import Request
from tests.bench import transports
from tests.bench.fixed_answers import fixed_answers


def test_the_transports_are_measured_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its import takes seconds.
    monkeypatch.delitem(transports.CLIENTS, "httpx", raising=False)
    with fixed_answers() as (url, _):
        found = transports.costs(url, 200, 1)
    lines = list(transports.table(found))
    assert len(lines) == 1 + 3 * len(transports.CLIENTS)
    assert all(cost.cpu_us > 0 for cost in found.values())


async def one_short(url: str, request: Request, requests: int) -> int:
    return requests - 1


def test_a_request_without_a_good_answer_fails_the_benchmark() -> None:
    with asyncio.Runner() as runner, pytest.raises(AssertionError, match="399 of 400 were answered"):
        transports.play(runner, transports.Cost(), one_short, "", transports.pair(), 400)


@pytest.mark.parametrize("requests", [5, 32, 33, 100])
def test_the_bare_protocol_waits_for_every_answer(requests: int) -> None:
    with fixed_answers() as (url, _), asyncio.Runner() as runner:
        transports.play(runner, transports.Cost(), transports.bare_protocol, url, transports.pair(), requests)

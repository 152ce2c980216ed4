"""A request that is sent again after an idle close has what is left of its time, in virtual time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import pytest

from harness.client.types import Outcome
from tests.http.hostile import END, Hostile, Piece
from tests.http.misbehaving import GOOD, head
from tests.http.test_transport_outcomes import plain
from tests.virtual_time import virtually

TIMEOUT_S = 60.0


def closing(second: Sequence[Piece]) -> Hostile:
    """Requests 0 are answered after 40 s; request 1 is closed after 55 s, and then gets `second`; others no answer."""
    seen: list[int] = []

    def script(index: int) -> Sequence[Piece]:
        seen.append(index)
        if index == 0:
            return [40.0, head() + GOOD]
        return [55.0, END] if seen[1:] in ([1], [0, 1]) else second if index == 1 else [300.0, END]

    return Hostile(script)


@pytest.mark.parametrize(("deadline", "ends"), [(math.inf, 60.0), (57.0, 57.0)])
def test_the_time_out_counts_from_the_first_sending(deadline: float, ends: float) -> None:
    """Nothing else is in flight, nor does a timer run since the connection was opened; a sooner deadline wins."""

    async def main() -> None:
        async with closing([300.0, END]).transport(TIMEOUT_S) as send:
            for _ in range(2):
                assert (await send(plain("/0"))).outcome is Outcome.ok
            start = asyncio.get_running_loop().time()
            late = await send(plain("/1", deadline=start + deadline))
        assert (late.outcome, late.attempts) == (Outcome.timed_out, 2)
        assert late.done - late.first_sent == pytest.approx(ends, abs=0.02)

    virtually(main())


def test_a_newer_request_does_not_delay_it() -> None:
    """One on a new connection, sent at 50 s: each ends after its own 60 s."""

    async def main() -> None:
        async with closing([300.0, END]).transport(TIMEOUT_S) as send:
            await send(plain("/0"))
            first = asyncio.create_task(send(plain("/1")))
            await asyncio.sleep(50.0)
            newer = await send(plain("/2"))
            late = await first
        for response, attempts in ((late, 2), (newer, 1)):
            assert (response.outcome, response.attempts) == (Outcome.timed_out, attempts)
            assert response.done - response.first_sent == pytest.approx(TIMEOUT_S, abs=0.02)
        assert newer.first_sent - late.first_sent == pytest.approx(50.0)

    virtually(main())


def test_its_timer_ends_with_it() -> None:
    """Answered at 58 s: the caller is not cancelled at 60 s."""

    async def main() -> None:
        async with closing([3.0, head() + GOOD]).transport(TIMEOUT_S) as send:
            await send(plain("/0"))
            response = await send(plain("/1"))
            await asyncio.sleep(100.0)
        assert (response.outcome, response.attempts) == (Outcome.ok, 2)
        assert response.done - response.first_sent == pytest.approx(58.0)

    virtually(main())

"""The deadline: one end for all attempts and waits of a request."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from harness.client.errors import SettingError
from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.layers.deadline import Deadline
from harness.client.layers.rate_limit import RateLimit
from harness.client.layers.retry import Retry
from harness.client.limits.fixed import Fixed
from harness.client.types import Item, Outcome, Request, Response
from tests.server_helpers import virtually


def request(*dues: float, **fields: Any) -> Request:
    items = tuple(Item(0, None, None, due=due) for due in dues)  # type: ignore[arg-type] # no task is needed here
    return Request(items, None, "/", b"", **fields)  # type: ignore[arg-type] # as above


class Seen:
    """An inner send that keeps the deadlines it was given."""

    def __init__(self) -> None:
        self.deadlines: list[float] = []

    async def __call__(self, request: Request, /) -> Response:
        self.deadlines.append(request.deadline)
        return Response(Outcome.ok)


@pytest.mark.parametrize(
    ("given", "deadline"),
    [
        (request(), 12.0),
        (request(math.nan), 12.0),
        (request(9.0), 11.0),
        (request(9.5, 8.5, math.nan), 10.5),
        (request(deadline=10.25), 10.25),
        (request(11.0), 13.0),
    ],
)
def test_the_deadline_counts_from_the_earliest_due_time_or_from_now(given: Request, deadline: float) -> None:
    seen = Seen()

    async def main() -> Response:
        await asyncio.sleep(10.0)
        return await Deadline(seen, 2.0)(given)

    assert virtually(main()).outcome is Outcome.ok
    assert seen.deadlines == [pytest.approx(deadline)]


def test_a_request_that_comes_too_late_is_not_sent() -> None:
    seen = Seen()

    async def main() -> Response:
        await asyncio.sleep(10.0)
        return await Deadline(seen, 2.0)(request(8.0))

    response = virtually(main())
    assert (response.outcome, response.attempts, response.done) == (Outcome.not_sent, 0, 10.0)
    assert response.error
    assert not seen.deadlines


def test_under_all_layers_every_request_is_answered_by_its_deadline() -> None:
    """Slots, tokens and pauses are waited for until the deadline, never longer."""

    async def slow(request: Request, /) -> Response:
        loop = asyncio.get_running_loop()
        sent = loop.time()
        left = min(0.4, request.deadline - sent)
        if left <= 0:
            return Response(Outcome.not_sent, done=sent)
        await asyncio.sleep(left)
        return Response(Outcome.server_error if left == 0.4 else Outcome.timed_out, sent=sent, done=loop.time())

    async def main() -> list[Response]:
        send = Deadline(Retry(RateLimit(ConcurrencyLimit(slow, Fixed(2)), 4.0), 5), 3.0)
        responses = await asyncio.gather(*(send(request()) for _ in range(30)))
        assert asyncio.get_running_loop().time() <= 3.0 + 1e-6
        return responses

    responses = virtually(main())
    assert {response.outcome for response in responses} <= {
        Outcome.not_sent,
        Outcome.server_error,
        Outcome.timed_out,
    }
    assert sum(response.attempts for response in responses) == 12  # at 4/s for 3 s


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, math.nan])
def test_a_setting_out_of_range_is_named(timeout_s: float) -> None:
    with pytest.raises(SettingError, match="timeout_s"):
        Deadline(Seen(), timeout_s)

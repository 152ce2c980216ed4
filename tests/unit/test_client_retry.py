"""Retries: what is tried again, when, and what is kept of the attempts before."""

from __future__ import annotations

import asyncio
import math
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.client.errors import SettingError
from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.hooks import RetryDetails
from harness.client.layers._budget import RetryBudget
from harness.client.layers.rate_limit import RateLimit
from harness.client.layers.retry import RETRY_AFTER_MAX_S, Retry
from harness.client.limits.fixed import Fixed
from harness.client.types import Outcome, Request, Response
from tests.server_helpers import virtually


def request(**fields: Any) -> Request:
    return Request((), None, "/", b"", **fields)  # type: ignore[arg-type] # no task is needed here


def failed(outcome: Outcome, status: int = 0, **fields: Any) -> Response:
    return Response(outcome, status, **fields)


class Script:
    """An inner send that gives the listed responses, each 0.1 s after it was asked; the last one for ever."""

    def __init__(self, *responses: Response) -> None:
        self.responses = list(responses)
        self.starts: list[float] = []

    async def __call__(self, request: Request, /) -> Response:
        loop = asyncio.get_running_loop()
        number = min(len(self.starts), len(self.responses) - 1)
        source = self.responses[number]
        response = Response(source.outcome, source.status, retry_after_s=source.retry_after_s, error=source.error)
        if source.outcome is not Outcome.not_sent:
            response.sent = loop.time()
            await asyncio.sleep(0.1)
        response.done = loop.time()
        self.starts.append(response.sent)
        return response


def play(script: Script, request_: Request | None = None, **settings: Any) -> Response:
    settings.setdefault("rng", Random(1))
    return virtually(_await(Retry(script, **settings), request_ or request()))


async def _await(send: Retry, request: Request) -> Response:
    return await send(request)


OK = Response(Outcome.ok, 200)


@pytest.mark.parametrize(
    ("response", "again"),
    [
        (failed(Outcome.rejected, 429), True),
        (failed(Outcome.rejected, 503), True),
        (failed(Outcome.timed_out), True),
        (failed(Outcome.timed_out, 408), True),
        (failed(Outcome.server_error, 500), True),
        (failed(Outcome.server_error, 501), False),
        (failed(Outcome.server_error, 505), False),
        (failed(Outcome.connection_error), True),
        (failed(Outcome.bad_response, 200), True),
        (failed(Outcome.client_error, 400), False),
        (failed(Outcome.client_error, 404), False),
        (failed(Outcome.cancelled), False),
        (failed(Outcome.not_sent), False),
    ],
)
def test_what_may_pass_is_tried_again_and_nothing_else(response: Response, again: bool) -> None:
    script = Script(response, OK)
    assert (play(script).outcome is Outcome.ok) == again
    assert len(script.starts) == 1 + again


def test_what_must_not_be_done_twice_is_sent_again_only_if_it_was_rejected() -> None:
    once = request(idempotent=False)
    assert play(Script(failed(Outcome.timed_out), OK), once).outcome is Outcome.timed_out
    assert play(Script(failed(Outcome.rejected, 429), OK), once).outcome is Outcome.ok


def test_every_attempt_but_the_last_is_kept() -> None:
    script = Script(failed(Outcome.server_error, 500), failed(Outcome.rejected, 429), OK)
    response = play(script)
    assert [(attempt.outcome.name, attempt.status) for attempt in response.previous] == [
        ("server_error", 500),
        ("rejected", 429),
    ]
    assert response.attempts == 3
    assert response.first_sent == script.starts[0]
    assert response.sent == script.starts[2]
    assert all(attempt.done == pytest.approx(attempt.sent + 0.1) for attempt in response.previous)


def test_it_gives_up_after_the_last_retry_with_the_last_answer() -> None:
    script = Script(failed(Outcome.server_error, 500, error="HTTP 500"))
    response = play(script, retries=2)
    assert (response.outcome, response.attempts, response.error) == (Outcome.server_error, 3, "HTTP 500")
    assert play(Script(failed(Outcome.rejected, 429), OK), retries=0).attempts == 1


def test_retries_within_retries_keep_all_attempts() -> None:
    script = Script(*[failed(Outcome.timed_out)] * 3, OK)
    response = virtually(_await(Retry(Retry(script, 1, rng=Random(1)), 1, rng=Random(2)), request()))
    assert (response.outcome, response.attempts, len(script.starts)) == (Outcome.ok, 4, 4)


@given(st.integers(0, 70), st.sampled_from([Outcome.rejected, Outcome.timed_out]), st.integers(0, 1000))
def test_a_pause_lies_in_the_jitter_of_its_class(number: int, outcome: Outcome, seed: int) -> None:
    retry = Retry(Script(OK), base_s=0.05, throttle_base_s=1.0, cap_s=20.0, rng=Random(seed))
    base_s = 1.0 if outcome is Outcome.rejected else 0.05
    pause_s = retry.pause_s(number, failed(outcome))
    assert pause_s is not None
    assert 0.0 <= pause_s <= min(20.0, base_s * 2.0**number)


def test_the_jitter_is_full() -> None:
    """The mean of the pauses is half the bound, so requests that failed together come back spread out."""
    retry = Retry(Script(OK), rng=Random(3))
    pauses = [retry.pause_s(2, failed(Outcome.rejected)) or 0.0 for _ in range(4000)]
    assert sum(pauses) / 4000 == pytest.approx(2.0, rel=0.05)


def test_the_servers_own_figure_is_a_lower_bound_and_spread_evenly_above_it() -> None:
    retry = Retry(Script(OK), rng=Random(4))
    pauses = [retry.pause_s(0, failed(Outcome.rejected, 429, retry_after_s=2.0)) or 0.0 for _ in range(4000)]
    assert 2.0 <= min(pauses) < 2.001
    assert 2.049 < max(pauses) <= 2.05
    assert sum(pauses) / 4000 == pytest.approx(2.025, abs=0.001)


def test_a_server_that_says_zero_gets_the_usual_pause() -> None:
    retry = Retry(Script(OK), rng=Random(5))
    assert max(retry.pause_s(0, failed(Outcome.rejected, 429, retry_after_s=0.0)) or 0.0 for _ in range(99)) > 0.5


def test_a_server_that_asks_for_too_much_is_not_waited_for() -> None:
    script = Script(failed(Outcome.rejected, 429, retry_after_s=RETRY_AFTER_MAX_S + 1), OK)
    assert play(script).attempts == 1


def test_no_retry_starts_after_the_deadline_nor_waits_for_it() -> None:
    script = Script(failed(Outcome.rejected, 429, retry_after_s=1.0), OK)
    response = play(script, request(deadline=1.0))
    assert (response.outcome, response.attempts) == (Outcome.rejected, 1)
    assert play(Script(failed(Outcome.rejected, 429, retry_after_s=1.0), OK), request(deadline=2.0)).attempts == 2


def test_a_retry_that_could_not_be_sent_leaves_the_last_real_answer() -> None:
    script = Script(
        failed(Outcome.server_error, 500, error="HTTP 500"), failed(Outcome.not_sent, error="its deadline passed")
    )
    response = play(script)
    assert (response.outcome, response.status, response.attempts) == (Outcome.server_error, 500, 1)
    assert response.error == "HTTP 500; not tried again: its deadline passed"


def test_one_asleep_between_two_attempts_holds_no_slot() -> None:
    """In the right order a sleeping request lets others through: one slot serves both in the time of three attempts."""
    script = Script(failed(Outcome.rejected, 429, retry_after_s=5.0), OK)

    async def main() -> float:
        gate = ConcurrencyLimit(script, Fixed(1))
        send = Retry(RateLimit(gate, 100.0), rng=Random(1))
        first = asyncio.create_task(send(request()))
        await asyncio.sleep(0.15)
        assert gate.in_flight == 0
        assert gate.vacant
        assert (await send(request())).outcome is Outcome.ok
        passed = asyncio.get_running_loop().time()
        assert (await first).attempts == 2
        return passed

    assert virtually(main()) == pytest.approx(0.25)


def test_a_budget_ends_retries_when_failures_go_on_and_successes_fill_it() -> None:
    budget = RetryBudget(capacity=28, cost=14, throttle_cost=5)
    script = Script(failed(Outcome.server_error, 500, error="HTTP 500"))
    assert play(script, retries=9, budget=budget).attempts == 3
    assert budget.left == 0
    response = play(script, retries=9, budget=budget)
    assert response.error == "HTTP 500; not tried again: the retry budget is spent"
    for _ in range(5):
        play(Script(OK), budget=budget)
    assert budget.left == 5
    assert play(Script(failed(Outcome.rejected, 429), OK), budget=budget).attempts == 2
    assert budget.left == 5  # what a successful retry cost comes back
    for _ in range(40):
        budget.earn()
    assert budget.left == 28


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"retries": -1}, "retries"),
        ({"base_s": 0.0}, "base_s"),
        ({"throttle_base_s": math.nan}, "throttle_base_s"),
        ({"cap_s": -1.0}, "cap_s"),
    ],
)
def test_a_setting_out_of_range_is_named(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(SettingError, match=field):
        Retry(Script(OK), **settings)


@pytest.mark.parametrize("field", ["capacity", "cost", "throttle_cost"])
def test_a_budget_setting_out_of_range_is_named(field: str) -> None:
    with pytest.raises(SettingError, match=field):
        RetryBudget(**{field: 0})


@pytest.mark.parametrize("end", ["not sent", "cancelled"])
def test_a_retry_that_was_paid_for_and_never_sent_is_paid_back(end: str) -> None:
    budget = RetryBudget(capacity=100, cost=14)

    async def main() -> None:
        script = Script(failed(Outcome.server_error, 500), Response(Outcome.not_sent, done=9.0))
        send = asyncio.create_task(Retry(script, retries=1, base_s=5.0, rng=Random(1), budget=budget)(request()))
        while end == "cancelled" and not send.done():
            await asyncio.sleep(0.01)
            if budget.left == 86:  # it was paid for, and sleeps before it is sent
                send.cancel()
        await asyncio.wait({send})

    virtually(main())
    assert budget.left == 100


def test_a_hook_gets_the_details_of_each_retry() -> None:
    """Which failure it follows, how long it waits, and how long it has waited already."""
    seen: list[RetryDetails] = []
    script = Script(failed(Outcome.rejected, 429), failed(Outcome.server_error, 500), Response(Outcome.ok, 200))
    sent = request()
    assert play(script, sent, on_retry=seen.append).outcome is Outcome.ok
    assert [(one.retry_number, one.response.status) for one in seen] == [(1, 429), (2, 500)]
    assert all(one.request is sent for one in seen)
    assert seen[1].waited_s == seen[0].wait_s > 0.0 == seen[0].waited_s
    gaps = [script.starts[1] - script.starts[0] - 0.1, script.starts[2] - script.starts[1] - 0.1]
    assert gaps == pytest.approx([one.wait_s for one in seen])


def test_a_hook_that_raises_ends_its_request_and_costs_no_budget() -> None:
    def broken(details: RetryDetails) -> None:
        raise ZeroDivisionError

    budget = RetryBudget()
    with pytest.raises(ZeroDivisionError):
        play(Script(failed(Outcome.server_error, 500)), on_retry=broken, budget=budget)
    assert budget.left == budget.capacity

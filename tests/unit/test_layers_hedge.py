"""Hedges: when a second attempt leaves, which answer wins, and that every attempt is counted."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.client.errors import SettingError
from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.hooks import HedgeDetails
from harness.client.layers._budget import RetryBudget
from harness.client.layers._quantile import RunningQuantile
from harness.client.layers.hedge import SAMPLES_MIN, Hedge
from harness.client.layers.retry import Retry
from harness.client.limits.fixed import Fixed
from harness.client.types import Outcome, Request, Response, Send
from tests.unit.layer_helpers import Server, ask, exchanges, virtually

WARM = 40  # requests after which the quantile is known


def usual(number: int) -> float:
    """0.1 s, and 0.2 s for four of the first forty: those are what the 95th percentile becomes."""
    return 0.2 if number in (1, 2, 3, 4) else 0.1


async def warmed(send: Send, number: int = WARM) -> list[Response]:
    return [await send(ask(str(n))) for n in range(number)]


def slow_after(number: int, slow_s: float = 5.0) -> Server:
    """The exchange of this number takes long; all others what is usual."""
    return Server(lambda n: slow_s if n == number else usual(n))


def test_a_slow_attempt_is_overtaken_by_a_second_one_and_both_are_counted() -> None:
    server = slow_after(WARM)

    async def main() -> tuple[Response, float]:
        hedge = Hedge(server)
        await warmed(hedge)
        begun = asyncio.get_running_loop().time()
        return await hedge(ask("late")), asyncio.get_running_loop().time() - begun

    response, took_s = virtually(main())
    assert response.outcome is Outcome.ok
    assert took_s == pytest.approx(0.3)  # the quantile, and the second attempt
    assert [attempt.outcome for attempt in response.previous] == [Outcome.cancelled]
    assert (server.seen, server.cancelled, exchanges(response)) == (WARM + 2, 1, 2)
    assert response.first_sent == response.previous[0].sent < response.sent


def test_the_first_may_still_win_and_the_second_is_counted_then_too() -> None:
    server = Server(lambda n: 0.25 if n == WARM else usual(n))

    async def main() -> Response:
        hedge = Hedge(server)
        await warmed(hedge)
        response = await hedge(ask("late"))
        assert (hedge.hedged, hedge.won) == (1, 0)
        return response

    response = virtually(main())
    assert exchanges(response) == 2 == server.seen - WARM
    assert response.first_sent == response.sent < response.previous[0].sent
    assert response.done - response.sent == pytest.approx(0.25)


def test_nothing_is_hedged_before_enough_is_known_nor_what_must_not_be_done_twice() -> None:
    early, once = slow_after(SAMPLES_MIN - 1), slow_after(WARM)

    async def main() -> None:
        hedge = Hedge(early)
        await warmed(hedge, SAMPLES_MIN)
        assert early.seen == SAMPLES_MIN
        hedge = Hedge(once)
        await warmed(hedge)
        response = await hedge(ask("late", idempotent=False))
        assert (exchanges(response), once.seen) == (1, WARM + 1)

    virtually(main())


def test_no_more_than_its_share_is_hedged() -> None:
    server = Server(lambda n: usual(n) if n < WARM or n % 2 else 3.0)

    async def main() -> Hedge:
        hedge = Hedge(server, share=0.05)
        await warmed(hedge)
        for start in range(0, 400, 20):
            await asyncio.gather(*(hedge(ask(str(start + n))) for n in range(20)))
        return hedge

    hedge = virtually(main())
    assert 5 <= hedge.hedged <= 0.05 * (400 + WARM)
    assert server.seen == 400 + WARM + hedge.hedged


def test_while_the_server_refuses_nothing_is_hedged() -> None:
    server = Server(
        lambda n: 5.0 if n == WARM + 1 else usual(n), lambda n: Outcome.rejected if n == WARM else Outcome.ok
    )

    async def main() -> None:
        hedge = Hedge(server, calm_s=10.0)
        await warmed(hedge)
        await hedge(ask("refused"))
        assert exchanges(await hedge(ask("late"))) == 1
        await asyncio.sleep(10.0)

    virtually(main())
    assert server.seen == WARM + 2


def test_while_the_limit_shrinks_nothing_is_hedged() -> None:
    server = slow_after(WARM)

    async def main() -> None:
        gate = ConcurrencyLimit(server, Fixed(8))
        hedge = Hedge(gate, gate=gate)
        await warmed(hedge)
        slow = asyncio.create_task(hedge(ask("late")))
        await asyncio.sleep(0.05)
        gate.limit.value = 4  # type: ignore[misc] # a Fixed may be resized by hand
        assert exchanges(await slow) == 1

    virtually(main())


def test_where_the_limit_is_full_nothing_is_hedged() -> None:
    server = Server(lambda n: 5.0 if n >= WARM else usual(n))

    async def main() -> None:
        gate = ConcurrencyLimit(server, Fixed(4))
        hedge = Hedge(gate, gate=gate)
        await warmed(hedge)
        full = await asyncio.gather(*(hedge(ask(str(n))) for n in range(4)))
        assert sum(map(exchanges, full)) == 4
        assert exchanges(await hedge(ask("alone"))) == 2

    virtually(main())


def test_waiting_for_a_slot_is_not_slowness() -> None:
    """With one slot the second request waits three seconds for it, and is not hedged meanwhile nor after."""
    server = slow_after(WARM, 3.0)

    async def main() -> None:
        gate = ConcurrencyLimit(server, Fixed(1))
        hedge = Hedge(gate)
        await warmed(hedge)
        slow = asyncio.create_task(gate(ask("slow")))  # past the hedge, so only the other could be hedged
        await asyncio.sleep(0.01)
        assert exchanges(await hedge(ask("waits"))) == 1
        assert hedge.hedged == 0
        await slow

    virtually(main())


def test_a_stream_that_has_begun_is_not_hedged() -> None:
    server = Server(lambda n: 4.0 if n == WARM else usual(n), first_byte=0.01)

    async def main() -> None:
        hedge = Hedge(server)
        await warmed(hedge)
        hedge._times = RunningQuantile()
        for _ in range(WARM):
            hedge._times.add(0.05)  # the long one's first byte comes after 0.04 s, its last after 4 s
        assert exchanges(await hedge(ask("long", stream=True))) == 1

    virtually(main())


def test_of_two_streams_the_one_that_begins_first_is_kept() -> None:
    """The first shows nothing for 3 s; the second begins after 0.1 s and takes 2 s: the first is cancelled early."""

    async def stream(request: Request, /) -> Response:
        loop = asyncio.get_running_loop()
        number, counts["seen"] = counts["seen"], counts["seen"] + 1
        sent = loop.time()
        assert request.progress is not None or number < SAMPLES_MIN
        if request.progress is not None:
            request.progress.sent = sent
        try:
            await asyncio.sleep(3.0 if number == WARM else usual(number))
            first = loop.time()
            if request.progress is not None:
                request.progress.first_byte = first
            await asyncio.sleep(2.0 if number >= WARM else 0.0)
        except asyncio.CancelledError:
            cancelled.append(loop.time() - sent)
            raise
        return Response(Outcome.ok, 200, ("x",), sent, first, loop.time())

    counts, cancelled = {"seen": 0}, list[float]()

    async def main() -> None:
        hedge = Hedge(stream)
        await warmed(hedge)
        response = await hedge(ask("late", stream=True))
        assert exchanges(response) == 2

    virtually(main())
    assert len(cancelled) == 1
    assert cancelled[0] < 0.6  # not the 2.2 s until the winner ended


def test_a_cancelled_request_tells_both_attempts() -> None:
    server = Server(lambda n: usual(n) if n < WARM else 5.0)

    async def main() -> None:
        hedge = Hedge(server)
        await warmed(hedge)
        task = asyncio.create_task(hedge(ask("late")))
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert exchanges(caught.value.response) == 2  # type: ignore[attr-defined] # as the transport leaves it

    virtually(main())
    assert (server.seen, server.cancelled) == (WARM + 2, 2)


def test_when_both_fail_the_retry_above_goes_on_with_all_of_them_counted() -> None:
    server = Server(
        lambda n: 0.5 if n == WARM else usual(n),
        lambda n: Outcome.server_error if n in (WARM, WARM + 1) else Outcome.ok,
    )

    async def main() -> Response:
        retry = Retry(Hedge(server), retries=2)
        await warmed(retry)
        return await retry(ask("unlucky"))

    response = virtually(main())
    assert response.outcome is Outcome.ok
    assert exchanges(response) == 3 == server.seen - WARM
    sent = [attempt.sent for attempt in response.previous]
    assert sent == sorted(sent)


def test_hedges_and_retries_spend_from_one_budget() -> None:
    async def main() -> None:
        empty = RetryBudget(capacity=14)
        empty.left = 0
        server = slow_after(WARM)
        hedge = Hedge(server, budget=empty)
        await warmed(hedge)
        assert exchanges(await hedge(ask("late"))) == 1
        shared = RetryBudget(capacity=14)
        rich = Hedge(slow_after(WARM), budget=shared)
        await warmed(rich)
        assert exchanges(await rich(ask("late"))) == 2
        assert shared.left == 14  # given back: the server is well

    virtually(main())


@given(st.lists(st.floats(0, 100), min_size=1, max_size=400), st.sampled_from([0.5, 0.9, 0.95]))
def test_the_running_quantile_is_that_of_the_last_values(values: list[float], q: float) -> None:
    quantile = RunningQuantile(64)
    for value in values:
        quantile.add(value)
    last = sorted(values[-64:])
    assert len(quantile) == len(last)
    assert quantile.at(q) in last
    below = bisect_left(last, quantile.at(q))
    assert below <= math.ceil(q * len(last))
    assert math.isnan(RunningQuantile().at(q))


@pytest.mark.parametrize(("field", "value"), [("quantile", 1.0), ("share", 1.5), ("calm_s", -1.0)])
def test_a_setting_out_of_range_is_named(field: str, value: float) -> None:
    with pytest.raises(SettingError, match=field):
        Hedge(Server(), **{field: value})


@pytest.mark.parametrize("end", ["not sent", "cancelled"])
def test_a_hedge_that_was_paid_for_and_never_sent_is_paid_back(end: str) -> None:
    """Its second attempt waits for a slot until the request is over."""

    async def main() -> tuple[int, float]:
        server = slow_after(WARM)

        async def send(request: Request, /) -> Response:
            if server.seen == WARM + 1:  # the hedge
                await asyncio.sleep(1.0 if end == "not sent" else 100.0)
                return Response(Outcome.not_sent, done=asyncio.get_running_loop().time())
            response = await server(request)
            return Response(Outcome.not_sent, done=response.done) if server.seen == WARM + 1 else response

        budget = RetryBudget(capacity=14)
        hedge = Hedge(send, budget=budget)
        await warmed(hedge)
        saved = hedge._saved
        late = asyncio.create_task(hedge(ask("late")))
        await asyncio.sleep(0.5)
        assert budget.left == 0
        if end == "cancelled":
            late.cancel()
        await asyncio.wait({late})
        return budget.left, hedge._saved - saved

    left, gained = virtually(main())
    assert left == 14
    assert gained >= 0.0


def test_a_hook_gets_the_details_of_each_hedge() -> None:
    """The request, and how long its first attempt has been on the wire."""
    seen: list[HedgeDetails] = []

    async def main() -> None:
        hedge = Hedge(slow_after(WARM), on_hedge=seen.append)
        await warmed(hedge)
        await hedge(ask("late"))

    virtually(main())
    assert [one.request.items[0].data for one in seen] == ["late"]
    assert seen[0].waited_s == pytest.approx(0.2)


def test_a_hook_that_raises_sends_no_hedge_and_costs_no_budget() -> None:
    def broken(details: HedgeDetails) -> None:
        raise ZeroDivisionError

    async def main() -> tuple[int, int]:
        server, budget = slow_after(WARM), RetryBudget()
        hedge = Hedge(server, on_hedge=broken, budget=budget)
        await warmed(hedge)
        with pytest.raises(ZeroDivisionError):
            await hedge(ask("late"))
        return server.seen, budget.left

    assert virtually(main()) == (WARM + 1, RetryBudget().capacity)

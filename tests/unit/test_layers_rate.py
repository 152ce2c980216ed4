"""Rate limits of several dimensions, and what servers say of theirs."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.base.gcra import Gcra
from harness.client.errors import SettingError
from harness.client.layers._meters import Window, meter_of
from harness.client.layers.rate_limit import RateLimit
from harness.client.tasks.chat import Chat, Completion, Message, Usage
from harness.client.text.tokens import estimate_tokens, tokens_of
from harness.client.transport.rate_limit_headers import Quota, quotas
from harness.client.types import Item, Outcome, Request, Response
from tests.unit.layer_helpers import Server, ask, virtually

NOW = 1_750_000_000.0
STEPS = st.lists(st.tuples(st.floats(0.0, 2.0), st.floats(0.1, 30.0)), min_size=1, max_size=40)


@given(STEPS, st.floats(0.5, 50.0), st.floats(1.0, 20.0))
def test_no_window_admits_more_cost_than_burst_and_rate(
    steps: list[tuple[float, float]], rate: float, burst: float
) -> None:
    """What costs more than the bucket holds is admitted alone, when it is full; its debt is then paid in full."""
    gcra, now, taken = Gcra(rate, burst), 0.0, list[tuple[float, float]]()
    for gap, cost in steps:
        now += gap
        taken.append((gcra.earliest(now, cost), cost))
        gcra.take(*taken[-1])
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            spent = sum(cost for _, cost in taken[first : last + 1]) - max(0.0, taken[last][1] - burst)
            assert spent <= burst + rate * (taken[last][0] - taken[first][0]) + 1e-6


@given(st.lists(st.floats(0.0, 2.0), min_size=1, max_size=60), st.floats(0.5, 50.0), st.integers(1, 10))
def test_the_quick_way_through_is_the_same_meter(gaps: list[float], rate: float, burst: int) -> None:
    quick, plain, now = Gcra(rate, burst), Gcra(rate, burst), 0.0
    for gap in gaps:
        now += gap
        may = plain.earliest(now) <= now
        if may:
            plain.take(now)
        assert quick.passes(now) == may
    assert quick.earliest(now) == pytest.approx(plain.earliest(now))


def test_tokens_and_requests_are_both_kept() -> None:
    """100 requests of 50 tokens at 1000 tokens a second: the tokens decide; tiny ones: the requests do."""
    for tokens, expected_s in ((50.0, 100 * 50 / 1000 - 1.0), (0.1, 99 / 40)):
        server = Server(lambda n: 0.0)

        async def main(tokens: float = tokens, server: Server = server) -> None:
            send = RateLimit(server, 40.0, tokens_per_s=1000.0, tokens=lambda request: tokens)
            await asyncio.gather(*(send(ask(str(n))) for n in range(100)))

        virtually(main())
        assert server.starts[-1] == pytest.approx(expected_s, abs=0.06)


def test_tokens_that_were_not_used_are_given_back() -> None:
    task = Chat(max_tokens=1000)
    server = Server(lambda n: 0.0, answer=lambda request: (Completion("x", "stop", Usage(5, 5)),))

    async def main() -> None:
        send = RateLimit(server, tokens_per_s=1100.0)
        for _ in range(50):
            await send(task.request((Item(0, (Message("user", "hi"),), task),)))

    virtually(main())
    assert server.starts[-1] < 2.0  # 500 tokens were used; by the estimate it were 50,000


def test_a_token_bucket_lets_a_burst_pass_after_a_pause_and_a_leaky_one_does_not() -> None:
    for bucket, at_once in (("token", 10), ("leaky", 1)):
        server = Server(lambda n: 0.0)

        async def main(bucket: str = bucket, server: Server = server) -> None:
            send = RateLimit(server, 10.0, bucket=bucket)  # type: ignore[arg-type] # one of the two
            await asyncio.gather(*(send(ask(str(n))) for n in range(15)))

        virtually(main())
        assert sum(start == 0.0 for start in server.starts) == at_once


def test_a_fixed_window_that_the_server_tells_is_kept_without_a_refusal() -> None:
    """20 a window of 10 s, as the answers report: after the first window's end the client goes on at once."""
    windows: dict[int, int] = {}

    async def send(request: Request, /) -> Response:
        now = asyncio.get_running_loop().time()
        window = int(now // 10)
        windows[window] = windows.get(window, 0) + 1
        left = 20 - windows[window]
        headers = {"ratelimit": f'"default";r={max(0, left)};t={max(1, round(10 * (window + 1) - now))}'}
        await asyncio.sleep(0.1)
        done = asyncio.get_running_loop().time()
        outcome = Outcome.ok if left >= 0 else Outcome.rejected
        return Response(outcome, sent=now, done=done, headers=headers)

    async def main() -> list[Response]:
        limited = RateLimit(send)

        async def worker() -> list[Response]:
            return [await limited(ask()) for _ in range(15)]

        return [response for some in await asyncio.gather(*(worker() for _ in range(4))) for response in some]

    responses = virtually(main())
    assert len(responses) == 60
    assert sum(response.outcome is Outcome.rejected for response in responses) <= 4
    assert max(windows.values()) <= 24


def test_a_bucket_that_the_server_tells_is_followed() -> None:
    quota = Quota("requests", 10.0, 9.0, limit=100.0, refills=True)  # 90 used, whole again in 9 s: 10 a second
    meter = meter_of(quota, 50.0, in_flight=4.0)
    assert meter is not None
    starts = []
    for _ in range(10):
        start = meter.earliest(50.0)
        meter.take(start)
        starts.append(start)
    assert starts[:6] == pytest.approx([50.0] * 6)  # ten are left, four are on their way
    assert starts[6:] == pytest.approx([50.1, 50.2, 50.3, 50.4])


def test_a_window_is_closed_until_its_reset() -> None:
    window = Window(2.0, 60.0)
    for _ in range(2):
        assert window.earliest(50.0) == 50.0
        window.take(50.0)
    assert window.earliest(50.0) == 60.0
    assert window.earliest(60.0) == 60.0
    assert meter_of(Quota("requests", 0.0, 0.0), 1.0, 0.0) is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, []),
        (
            {
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-reset-requests": "1s",
            },
            [Quota("requests", 59.0, 1.0, 60.0, True)],
        ),
        (
            {"x-ratelimit-remaining-tokens": "149984", "x-ratelimit-limit-tokens": "150000"}
            | {"x-ratelimit-reset-tokens": "6m0s"},
            [Quota("tokens", 149984.0, 360.0, 150000.0, True)],
        ),
        (
            {"anthropic-ratelimit-tokens-remaining": "5", "anthropic-ratelimit-tokens-reset": "2025-06-15T15:07:10Z"},
            [Quota("tokens", 5.0, 30.0, None, True)],
        ),
        ({"x-ratelimit-remaining": "3", "x-ratelimit-reset": str(int(NOW) + 30)}, [Quota("requests", 3.0, 30.0)]),
        (
            {"ratelimit-limit": "10", "ratelimit-remaining": "1", "ratelimit-reset": "7"},
            [Quota("requests", 1.0, 7.0, 10.0)],
        ),
        ({"ratelimit": "limit=100, remaining=50, reset=5"}, [Quota("requests", 50.0, 5.0, 100.0)]),
        (
            {"ratelimit": '"burst";r=2;t=3, "daily";r=900;t=3000'},
            [Quota("requests", 2.0, 3.0), Quota("requests", 900.0, 3000.0)],
        ),
        (
            {"ratelimit": '"bytes";r=2;t=3', "ratelimit-policy": '"bytes";q=100;w=60;qu="content-bytes"'},
            [],
        ),
        ({"ratelimit": '"default";r=5'}, []),
        ({"x-ratelimit-remaining": "nonsense", "x-ratelimit-reset": "5"}, []),
        ({"x-ratelimit-remaining": "-1", "x-ratelimit-reset": "5"}, []),
        ({"x-ratelimit-remaining": "5"}, []),
        ({"x-ratelimit-remaining": "5", "x-ratelimit-reset": str(int(NOW) - 3600)}, []),
        ({"anthropic-ratelimit-tokens-remaining": "5", "anthropic-ratelimit-tokens-reset": "Tomorrow"}, []),
    ],
)
def test_limits_are_read_in_every_form(headers: dict[str, str], expected: list[Quota]) -> None:
    assert quotas(headers, NOW) == expected


@given(
    st.dictionaries(
        st.sampled_from(["ratelimit", "ratelimit-policy", "x-ratelimit-remaining", "x-ratelimit-reset-tokens"])
        | st.sampled_from(["x-ratelimit-remaining-tokens", "x-ratelimit-reset", "ratelimit-limit"]),
        st.text(max_size=40) | st.integers().map(str) | st.just('"a";r=1;t=2'),
    )
)
def test_no_header_however_odd_breaks_the_reading(headers: dict[str, str]) -> None:
    for quota in quotas(headers, NOW):
        assert quota.remaining >= 0.0
        assert 0.0 <= quota.reset_s <= 3600.0


def test_a_server_that_tells_nothing_is_looked_at_now_and_then() -> None:
    """It speaks of limits only from its hundredth answer on, and is heard all the same."""
    server = Server(
        lambda n: 0.0,
        headers=lambda n: {"ratelimit": '"x";r=0;t=100'} if n >= 100 else {"date": "today"},
    )

    async def main() -> None:
        send = RateLimit(server)
        for number in range(200):
            if asyncio.get_running_loop().time() > 0:
                return
            await send(ask(str(number)))

    virtually(main())
    assert 100 < server.seen <= 150


def test_without_anything_to_limit_it_says_so() -> None:
    with pytest.raises(SettingError, match="nothing is limited"):
        RateLimit(Server(), follow=False)
    with pytest.raises(SettingError, match="bucket='round'"):
        RateLimit(Server(), 1.0, bucket="round")  # type: ignore[arg-type] # on purpose
    with pytest.raises(SettingError, match="tokens_per_s"):
        RateLimit(Server(), tokens_per_s=-1.0)


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("abcd", 1), ("abcde", 2), ("你好", 2), ("GPT 是什么", 4)])
def test_tokens_are_estimated_by_script(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


def test_a_requests_tokens_are_its_text_and_what_may_be_answered() -> None:
    assert 64 < tokens_of(ask("hello")) < 90
    assert tokens_of(ask("好" * 100)) >= 164

"""The rate limit: exact from the first second, in order, nothing waited for in vain."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.base.gcra import Gcra
from harness.client.errors import SettingError
from harness.client.layers.rate_limit import RateLimit
from harness.client.types import Outcome, Request, Response
from tests.server_helpers import virtually


def request(path: str = "/", **fields: Any) -> Request:
    return Request((), None, path, b"", **fields)  # type: ignore[arg-type] # no task is needed here


class Log:
    """An inner send that notes when each request came."""

    def __init__(self) -> None:
        self.starts: list[tuple[str, float]] = []

    async def __call__(self, request: Request, /) -> Response:
        now = asyncio.get_running_loop().time()
        self.starts.append((request.path, now))
        return Response(Outcome.ok, sent=now, done=now)


GAPS = st.lists(st.floats(0.0, 3.0), min_size=1, max_size=60)


@given(GAPS, st.floats(0.5, 50.0), st.integers(1, 10))
def test_no_window_admits_more_than_burst_and_rate(gaps: list[float], rate: float, burst: int) -> None:
    gcra, now, starts = Gcra(rate, burst), 0.0, []
    for gap in gaps:
        now += gap
        start = gcra.earliest(now)
        gcra.take(start)
        assert start >= now
        starts.append(start)
    assert starts == sorted(starts)
    for first in range(len(starts)):
        for last in range(first, len(starts)):
            window = starts[last] - starts[first]
            assert last - first + 1 <= burst + rate * window + 1e-6


@given(GAPS, st.floats(0.5, 50.0), st.integers(1, 10))
def test_nobody_waits_longer_than_the_rate_demands(gaps: list[float], rate: float, burst: int) -> None:
    """Each start is now, or exactly one interval after what `burst` starts ago allows."""
    gcra, now, starts = Gcra(rate, burst), 0.0, list[float]()
    for gap in gaps:
        now += gap
        expected = gcra.earliest(now)
        starts.append(expected)
        gcra.take(expected)
        if starts[-1] > now and len(starts) > burst:
            window = [start for start in starts if start > starts[-1] - burst / rate - 1e-9]
            assert len(window) >= burst


@pytest.mark.parametrize("burst", [1, 5])
def test_the_first_second_holds_burst_and_rate_never_twice_the_rate(burst: int) -> None:
    log = Log()

    async def main() -> None:
        send = RateLimit(log, 20.0, burst)
        await asyncio.gather(*(send(request(str(n))) for n in range(100)))

    virtually(main())
    times = [at for _, at in log.starts]
    assert [path for path, _ in log.starts] == [str(n) for n in range(100)]
    assert sum(at <= 1.0 + 1e-9 for at in times) == burst + 20
    assert times[-1] == pytest.approx((100 - burst) / 20.0)


def test_after_a_pause_the_burst_is_there_again_but_no_more() -> None:
    log = Log()

    async def main() -> None:
        send = RateLimit(log, 10.0, 3)
        for _ in range(2):
            await asyncio.gather(*(send(request()) for _ in range(5)))
            await asyncio.sleep(60.0)

    virtually(main())
    second = [at for _, at in log.starts[5:]]
    assert [round(at - second[0], 6) for at in second] == [0.0, 0.0, 0.0, 0.1, 0.2]


def test_one_that_could_only_go_after_its_deadline_takes_no_place() -> None:
    log, answers = Log(), list[Response]()

    async def main() -> None:
        send = RateLimit(log, 1.0)
        late = [request("late", deadline=0.5), request("later", deadline=0.9)]
        answers.extend(await asyncio.gather(send(request("a")), *map(send, late), send(request("b", deadline=2.0))))

    virtually(main())
    assert [answer.outcome.name for answer in answers] == ["ok", "not_sent", "not_sent", "ok"]
    assert math.isnan(answers[1].sent)
    assert log.starts == [("a", 0.0), ("b", pytest.approx(1.0))]


def test_a_cancelled_wait_gives_its_place_back() -> None:
    log = Log()

    async def main() -> None:
        send = RateLimit(log, 1.0)
        await send(request("a"))
        task = asyncio.create_task(send(request("b")))
        await asyncio.sleep(0.1)
        assert send.waiting == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert send.waiting == 0
        await send(request("c"))

    virtually(main())
    assert log.starts == [("a", 0.0), ("c", pytest.approx(1.0))]


@pytest.mark.parametrize(
    ("rate", "burst", "field"), [(0.0, 1, "rate_per_s"), (math.nan, 1, "rate_per_s"), (1, 0, "burst")]
)
def test_a_setting_out_of_range_is_named(rate: float, burst: int, field: str) -> None:
    with pytest.raises(SettingError, match=field):
        RateLimit(Log(), rate, burst)

"""A server that stands still, and one whose work shares a machine: instants by hand, and what is never lost."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_server.pauses import Pauses
from mock_server.profile import Pause
from mock_server.sharing import Sharing
from tests.server_helpers import PAIR, Answered, app_of, call, virtually

EVERY_TEN = Pause(start_s=5.0, end_s=6.0, period_s=10.0)


@pytest.mark.parametrize(
    ("start", "seconds", "end"),
    [
        (100.0, 4.0, 104.0),
        (100.0, 5.0, 105.0),
        (104.5, 1.0, 106.5),
        (105.5, 1.0, 107.0),
        (100.0, 15.0, 117.0),
        (90.0, 14.0, 104.0),
        (100.0, 40.0, 144.0),
    ],
)
def test_work_stands_still_in_a_pause_and_goes_on_after_it(start: float, seconds: float, end: float) -> None:
    """Counted from zero = 100; pauses from 105, 115, ..., each a second long."""
    pauses = Pauses([EVERY_TEN], 100.0)
    assert pauses.ends(start, seconds) == pytest.approx(end)
    assert pauses.worked_s(start, end) == pytest.approx(seconds)


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(0.01, 5), st.booleans()), max_size=4),
    st.floats(0, 1e6),
    st.floats(0, 300),
)
def test_what_is_worked_until_the_end_is_what_was_asked(
    windows: list[tuple[float, float, bool]], zero: float, seconds: float
) -> None:
    """Pauses may overlap; none makes work more or less."""
    pauses = Pauses([Pause(start_s=a, end_s=a + b, period_s=40.0 if c else None) for a, b, c in windows], zero)
    end = pauses.ends(zero, seconds)
    assert zero + seconds <= end + 1e-6 < math.inf
    assert pauses.worked_s(zero, end) == pytest.approx(seconds, abs=1e-5)


def test_a_pause_may_come_first_after_its_period_and_then_in_each() -> None:
    """From 10 to 11, 20 to 21, ..."""
    pauses = Pauses([Pause(start_s=10.0, end_s=11.0, period_s=10.0)])
    assert [pauses.ends(at, 0.5) for at in (0.0, 10.2, 19.8, 21.0)] == pytest.approx([0.5, 11.5, 21.3, 21.5])


def test_two_that_share_are_each_slowed_and_the_last_is_fast_again() -> None:
    """Needs 1 s each, twice as slow for two: A alone until 0.5, then shared until both of A's halves are done."""
    sharing = Sharing[str](float)
    sharing.begin(0.0, 1.0, "a")
    assert sharing.next_end() == pytest.approx(1.0)
    sharing.begin(0.5, 1.0, "b")
    assert sharing.next_end() == pytest.approx(1.5)
    assert sharing.over(1.5) == [(pytest.approx(1.5), "a")]
    assert sharing.next_end() == pytest.approx(2.0)
    assert sharing.over(9.0) == [(pytest.approx(2.0), "b")]
    assert sharing.next_end() == math.inf


def test_late_calls_change_nothing_about_the_ends() -> None:
    """A job that follows another without a gap, reported 30 ms late, ends as if reported in time."""
    sharing = Sharing[str](lambda n: 1.0)
    sharing.begin(0.0, 1.0, "a")
    assert sharing.over(1.03) == [(1.0, "a")]
    sharing.begin(1.0, 1.0, "b")
    assert sharing.over(3.0) == [(pytest.approx(2.0), "b")]


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0.001, 3)), min_size=1, max_size=30))
def test_all_that_begins_ends_in_order_and_no_sooner_than_alone(jobs: list[tuple[float, float]]) -> None:
    """Whatever joins when."""
    sharing = Sharing[int](lambda n: 1 + 0.1 * (n - 1))
    begun, at = [], 0.0
    for number, (gap, seconds) in enumerate(jobs):
        at += gap
        sharing.begin(at, seconds, number)
        begun.append((at, seconds))
    over = sharing.over(1e6)
    assert sorted(job for _, job in over) == list(range(len(jobs)))
    assert [end for end, _ in over] == sorted(end for end, _ in over)
    assert all(end >= begun[job][0] + begun[job][1] - 1e-6 for end, job in over)


def test_the_mock_slows_what_is_already_in_service(tmp_path: Path) -> None:
    """By arrival the first would not notice the second."""
    text = "[service]\nbase_s = 1.0\ngrowth = {kind = 'linear', slope = 1.0}\n"

    async def two() -> list[float]:
        async def second() -> Answered:
            await asyncio.sleep(0.5)
            return await call(app, "/similarity", PAIR)

        return [answer.at for answer in await asyncio.gather(call(app, "/similarity", PAIR), second())]

    app = app_of(tmp_path, text + "growth_by = 'running'")
    assert virtually(two()) == [pytest.approx(1.5), pytest.approx(2.0)]
    app = app_of(tmp_path, text)
    assert virtually(two()) == [pytest.approx(1.0), pytest.approx(2.5)]


@pytest.mark.parametrize("growth_by", ["arrival", "running"])
def test_a_pause_holds_work_and_tokens_and_begins_again_with_a_reset(tmp_path: Path, growth_by: str) -> None:
    """0.6 s of work from zero meets the pause from 0.5 to 2.5; a refusal is answered all the same."""
    app = app_of(
        tmp_path,
        f"[service]\nbase_s = 0.6\ngrowth_by = '{growth_by}'\n[generation]\nttft_base_s = 0.4\nitl_base_s = 0.2\n"
        "[limits]\nin_flight = 2\n[[pauses]]\nstart_s = 0.5\nend_s = 2.5\n",
    )

    async def round_() -> list[float]:
        zero = asyncio.get_running_loop().time()
        stream = {"text": "x", "max_tokens": 2, "stream": True}
        answers = await asyncio.gather(
            call(app, "/similarity", PAIR), call(app, "/annotate", stream), call(app, "/similarity", PAIR)
        )
        assert [answer.status for answer in answers] == [200, 200, 429]
        return [round(answer.at - zero, 6) for answer in answers]

    async def main() -> tuple[list[float], list[float]]:
        first = await round_()
        await call(app, "/debug/reset")
        return first, await round_()

    assert virtually(main()) == ([2.6, 2.6, 0.0], [2.6, 2.6, 0.0])


def test_an_error_after_the_work_takes_as_long_as_an_answer(tmp_path: Path) -> None:
    """Before it, it takes none; a refusal further in stays a refusal."""
    text = "[service]\nbase_s = 1.0\n[limits]\nin_flight = 1\ntell_wait = false\n[[faults]]\nkind = 'status'\n"

    async def two() -> list[Answered]:
        return await asyncio.gather(call(app, "/similarity", PAIR), call(app, "/similarity", PAIR))

    app = app_of(tmp_path, text + "when = 'after'")
    late, refused = virtually(two())
    assert (late.status, late.at) == (500, pytest.approx(1.0))
    assert refused.status == 429
    assert "retry-after" not in refused.headers
    app = app_of(tmp_path, text)
    assert [answer.at for answer in virtually(two())] == [0.0, 0.0]

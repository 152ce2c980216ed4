"""Feeds: every item in exactly one share, each given out when it is due, and the end of it at once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import plugins
from harness.client.errors import UsageError
from harness.client.types import Item, Task
from harness.load.feed import Feed, Mix, Source
from harness.load.schedule import Schedule, compute
from harness.load.timer import Alarm, sleep_until
from harness.load.workloads import jsonl
from harness.load.workloads.jsonl import Jsonl
from harness.load.workloads.synthetic import Synthetic
from tests.virtual_time import virtually

ZERO = 3.0
ONE_TASK = Mix([(plugins.make("task", "similarity"), 1.0)], seed=1)
TWO_TASKS = Mix([(plugins.make("task", "similarity"), 2.0), (plugins.make("task", "fill-mask"), 1.0)], seed=1)


def synthetic(items: int | None = None) -> Source:
    return Source(None, Synthetic(mean=3.0), items, seed=1)


def pairs(path: Path, *goods: bool) -> Path:
    """A line each, numbered; bad where it says False."""
    rows = ({"text1": f"line {n}", "text2": "b"} if good else {"bad": n} for n, good in enumerate(goods))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def constant(rate: float, duration_s: float) -> Schedule:
    return compute("constant", {"rate_per_s": rate}, duration_s, None, 1)


def shares(source: Source, mix: Mix, schedule: Schedule, parts: int) -> list[list[Item]]:
    async def main() -> list[list[Item]]:
        async def one(part: int) -> list[Item]:
            return [item async for item in Feed(source, mix, schedule, ZERO, sleep_until, part, parts)]

        return list(await asyncio.gather(*map(one, range(parts))))

    return virtually(main())


@given(st.integers(1, 60), st.integers(1, 9), st.sampled_from([ONE_TASK, TWO_TASKS]), st.booleans())
def test_shares_are_disjoint_and_together_they_are_the_load(items: int, parts: int, mix: Mix, backlog: bool) -> None:
    """And an item is the same, data and task, however many applications share the load."""
    schedule = compute("backlog", {}, 1.0, items, 1) if backlog else constant(float(items), 1.0)
    (whole,) = shares(synthetic(items), mix, schedule, 1)
    split = shares(synthetic(items), mix, schedule, parts)
    assert [item.index for item in whole] == list(range(items))
    assert all([item.index for item in share] == list(range(part, items, parts)) for part, share in enumerate(split))
    of = {item.index: (item.data, item.task, item.due) for share in split for item in share}
    assert of == {item.index: (item.data, item.task, item.due) for item in whole}


@given(st.floats(1.0, 50.0), st.lists(st.floats(0.0, 0.5), min_size=1, max_size=10))
def test_late_pulls_have_no_lag_and_early_ones_are_never_before_time(rate: float, naps: list[float]) -> None:
    """`due` is what the schedule says whatever the strategy does; `fired` is due if it was asked for too late."""

    async def main() -> None:
        schedule, loop = constant(rate, 2.0), asyncio.get_running_loop()
        naps_left = iter(naps * 100)
        asked_at = loop.time()
        number = 0
        async for item in Feed(synthetic(), ONE_TASK, schedule, ZERO, sleep_until):
            assert item.due == ZERO + schedule.offsets[number]  # type: ignore[index] # arrivals have offsets
            assert item.fired == item.due if asked_at >= item.due else item.fired >= item.due
            assert loop.time() >= item.due
            await asyncio.sleep(next(naps_left))
            asked_at = loop.time()
            number += 1
        assert number == len(schedule)

    virtually(main())


class Slow(Synthetic):
    """Texts that are made ahead; it notes when."""

    ahead = 3
    made: ClassVar[dict[int, float]] = {}

    def data(self, task: Task, index: int, seed: int) -> Any:
        self.made[index] = asyncio.get_running_loop().time()
        return super().data(task, index, seed)


def test_rows_that_take_long_are_made_before_they_are_due() -> None:
    """At most so many, in order, and none shortly before an arrival; the items are the same."""

    async def main() -> list[Item]:
        feed = Feed(Source(None, Slow(mean=3.0), None, 1), ONE_TASK, constant(2.0, 4.0), ZERO, sleep_until)
        return [item async for item in feed]

    (plain,) = shares(synthetic(), ONE_TASK, constant(2.0, 4.0), 1)
    assert virtually(main()) == plain
    # Before the first one the next three, then one for each that is given out.
    assert [Slow.made[index] for index in range(8)] == [0.0, 0.0, 0.0, 0.0, *(ZERO + n / 2 for n in range(4))]


def test_a_timer_that_wakes_late_is_the_generators_lag() -> None:
    async def late(when: float) -> None:
        await sleep_until(when + 0.002)

    async def main() -> None:
        lags = [item.fired - item.due async for item in Feed(synthetic(), ONE_TASK, constant(10.0, 1.0), ZERO, late)]
        assert lags == pytest.approx([0.002] * 10)

    virtually(main())


@pytest.mark.parametrize(("rate_per_s", "wakes", "lag_s"), [(20_000.0, 35, 0.0003), (2_000.0, 199, 0.0)])
def test_dense_arrivals_share_a_wake_up_and_the_wait_is_lag(rate_per_s: float, wakes: int, lag_s: float) -> None:
    woken: list[float] = []

    async def waking(when: float) -> None:
        woken.append(when)
        await sleep_until(when)

    async def main() -> list[Item]:
        times = constant(rate_per_s, 200 / rate_per_s)
        return [item async for item in Feed(synthetic(), ONE_TASK, times, ZERO, waking, grain_s=0.0003)]

    items = virtually(main())
    assert len(items) == 200
    assert len(woken) == pytest.approx(wakes, abs=4)
    assert all(item.due <= item.fired <= item.due + lag_s + 1e-9 for item in items)
    assert max(item.fired - item.due for item in items) == pytest.approx(lag_s, abs=1e-9)


def test_a_stop_while_arrivals_wait_for_each_other_gives_out_those_that_were_due() -> None:
    async def main() -> list[Item]:
        feed: Feed

        async def stopped(when: float) -> None:
            if not feed.stopped:
                await sleep_until(when - 0.0001)
                feed.stop(asyncio.get_running_loop().time())

        feed = Feed(synthetic(), ONE_TASK, constant(20_000.0, 1.0), ZERO, stopped, grain_s=0.0003)
        return [item async for item in feed]

    items = virtually(main())
    assert items
    assert all(item.due <= item.fired <= ZERO + 0.0003 for item in items)


async def test_a_stop_ends_the_stream_even_while_it_sleeps() -> None:
    """The alarm is turned off; an item that was due before the stop is still given out, none after."""
    loop = asyncio.get_running_loop()
    zero = loop.time()
    async with Alarm() as alarm:
        feed = Feed(synthetic(), ONE_TASK, constant(0.1, 100.0), zero, alarm.until)

        def stop() -> None:
            feed.stop(loop.time())
            alarm.off()

        loop.call_later(0.02, stop)
        assert [item.index async for item in feed] == [0]
    assert loop.time() - zero < 10
    assert feed.stopped
    assert (feed.pulled, feed.scheduled(ended=False)) == (1, 1)


def test_what_was_due_before_the_stop_is_given_out_or_counted() -> None:
    """A strategy that pulled nothing for three seconds is stopped: thirty items were scheduled, sent or not."""

    async def main() -> None:
        feed = Feed(synthetic(), ONE_TASK, constant(10.0, 10.0), ZERO, sleep_until)
        stream = aiter(feed)
        await anext(stream)
        await asyncio.sleep(2.95)
        feed.stop(asyncio.get_running_loop().time())
        assert feed.scheduled(ended=False) == 30
        assert len([item async for item in stream]) == 29
        assert feed.pulled == 30

    virtually(main())


def test_an_application_that_comes_later_has_no_past_but_its_share_of_the_future() -> None:
    async def main() -> None:
        feed = Feed(synthetic(), ONE_TASK, constant(10.0, 1.0), ZERO, sleep_until, 1, 2, since=ZERO + 0.45)
        assert [item.index async for item in feed] == [5, 7, 9]
        assert (feed.pulled, feed.scheduled(ended=True)) == (3, 3)

    virtually(main())


@given(st.lists(st.booleans(), min_size=1, max_size=6).filter(any), st.integers(1, 8))
def test_arrivals_cycle_the_file_whatever_its_length(
    tmp_path_factory: pytest.TempPathFactory, goods: list[bool], parts: int
) -> None:
    """An application whose lines are all bad, or that has none, takes the good ones of the others."""
    path = pairs(tmp_path_factory.mktemp("feed") / "f", *goods)
    source = Source(Jsonl(path), Synthetic(), None, 1)
    split = shares(source, ONE_TASK, constant(20.0, 1.0), parts)
    assert sorted(item.index for share in split for item in share) == list(range(20))
    good = {f"line {number}" for number, is_good in enumerate(goods) if is_good}
    assert {item.data.text1 for share in split for item in share} <= good


@pytest.mark.parametrize("kept_bytes", [0, 100, 1_000_000])
@given(st.integers(1, 13), st.integers(1, 9))
def test_an_arrival_reads_the_same_line_whatever_the_number_of_applications(
    tmp_path_factory: pytest.TempPathFactory, kept_bytes: int, lines: int, parts: int
) -> None:
    """Also where the one does not divide the other, and where rows are not kept, or only some."""
    path = pairs(tmp_path_factory.mktemp("feed") / "f", *[True] * lines)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(jsonl, "KEPT_BYTES", kept_bytes)
        split = shares(Source(Jsonl(path), Synthetic(), None, 1), ONE_TASK, constant(40.0, 1.0), parts)
    lines_of = {item.index: item.data.text1 for share in split for item in share}
    assert lines_of == {index: f"line {index % lines}" for index in range(40)}


def test_arrivals_from_a_file_without_a_good_line_are_refused(tmp_path: Path) -> None:
    """By every application, also by one that has no line at all."""
    source = Source(Jsonl(pairs(tmp_path / "f", False)), Synthetic(), None, 1)

    async def main(part: int) -> None:
        async for _ in Feed(source, ONE_TASK, constant(5.0, 1.0), ZERO, sleep_until, part, 2):
            raise AssertionError

    for part in (0, 1):
        with pytest.raises(UsageError, match="no line is an item of this task"):
            virtually(main(part))


def test_a_backlog_counts_its_share_until_it_is_done_then_what_it_gave() -> None:
    """A file of unknown length counts what was read from it."""

    async def main() -> None:
        made = Feed(synthetic(10), ONE_TASK, compute("backlog", {}, 1.0, 10, 1), ZERO, sleep_until, 1, 3)
        assert (made.scheduled(ended=False), made.scheduled(ended=True)) == (3, 0)
        assert [(item.due, item.fired) async for item in made] == [(ZERO, ZERO)] * 3
        assert made.scheduled(ended=True) == 3
        unknown = Feed(synthetic(), ONE_TASK, compute("backlog", {}, 1.0, None, 1), ZERO, sleep_until)
        assert unknown.scheduled(ended=False) == 0

    virtually(main())

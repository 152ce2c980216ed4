"""Pacers, schedules, workloads, the alarm and the feed: what becomes due, when, for whom."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import plugins
from harness.base.timerfd import timespec
from harness.client.errors import SettingError, UsageError
from harness.client.tasks.similarity import Similarity
from harness.load import schedule
from harness.load.feed import Feed, Mix, Source
from harness.load.lines import LINE_MAX, count_lines
from harness.load.pacers.constant import Constant
from harness.load.pacers.poisson import Poisson
from harness.load.pacers.ramp import Ramp
from harness.load.pacers.replay import Replay
from harness.load.pacers.spike import Spike
from harness.load.pacers.steps import Steps
from harness.load.timer import Alarm, sleep_until
from harness.load.workloads.jsonl import Jsonl
from harness.load.workloads.synthetic import Synthetic
from tests.server_helpers import virtually

TASK = Similarity()


def test_constant_arrivals_are_evenly_spaced() -> None:
    """One every 1/rate seconds from zero on, within the duration."""
    offsets = list(Constant(10.0).arrivals(1.0, Random(1)))
    assert offsets == pytest.approx([number / 10 for number in range(10)])


@pytest.mark.parametrize(
    ("pacer", "expected"),
    [
        (Poisson(100.0), 2000.0),
        (Ramp(rate_per_s=50.0, factor=3.0), 2000.0),
        (Steps(rate_per_s=50.0, factors=(1.0, 3.0)), 2000.0),
        (Spike(rate_per_s=50.0, factor=6.0, start_share=0.4, width_share=0.2), 2000.0),
        (Ramp(rate_per_s=150.0, factor=1 / 3, poisson=False), 2000.0),
    ],
)
def test_rates_integrate_to_what_was_asked(pacer: Any, expected: float) -> None:
    """Within four standard deviations of the Poisson count; ascending; inside the duration; the same for one seed."""
    offsets = list(pacer.arrivals(20.0, Random(3)))
    assert abs(len(offsets) - expected) < 4 * math.sqrt(expected)
    assert offsets == sorted(offsets)
    assert offsets[0] >= 0
    assert offsets[-1] < 20.0
    assert offsets == list(pacer.arrivals(20.0, Random(3)))
    assert offsets != list(pacer.arrivals(20.0, Random(4))) or not getattr(pacer, "poisson", True)


def test_a_spike_is_where_it_was_meant_to_be() -> None:
    """The middle fifth has `factor` times the rate of the rest."""
    offsets = list(Spike(rate_per_s=100.0, factor=5.0, poisson=False).arrivals(10.0, Random(1)))
    inside = sum(4.0 <= offset < 6.0 for offset in offsets)
    assert inside == pytest.approx(1000, abs=2)
    assert len(offsets) - inside == pytest.approx(800, abs=2)
    assert list(Spike(start_share=0.5, width_share=0.5).arrivals(4.0, Random(1)))[-1] < 4.0


@given(start=st.floats(0.1, 100), factor=st.floats(0.05, 20), duration=st.floats(0.5, 50))
@settings(max_examples=60, deadline=None)
def test_an_even_ramp_has_exactly_its_area(start: float, factor: float, duration: float) -> None:
    """Arrivals of a ramp without chance: one for each unit of cumulated rate."""
    area = duration * start * (1 + factor) / 2
    count = sum(1 for _ in Ramp(start, factor, poisson=False).arrivals(duration, Random(1)))
    assert abs(count - area) <= 1.0001


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Constant(0), "rate_per_s=0 must be above 0"),
        (lambda: Poisson(math.inf), "rate_per_s=inf must be above 0"),
        (lambda: Steps(factors=()), "factors"),
        (lambda: Spike(start_share=0.9, width_share=0.3), "at most 1"),
        (Replay, "path is missing"),
    ],
)
def test_bad_settings_are_refused(make: Any, says: str) -> None:
    """With field, value and range."""
    with pytest.raises(SettingError, match=says):
        make()


def test_a_trace_is_replayed_sorted_from_its_first_arrival(tmp_path: Path) -> None:
    """Comments, a CSV header, more columns and blank lines are skipped; `speed` shortens it."""
    trace = tmp_path / "trace.csv"
    trace.write_text("at,what\n# a comment\n12.0,b\n10.0,a\n\n14.0,c\n99.0,late\n")
    assert list(Replay(str(trace), speed=2.0).arrivals(10.0, Random(1))) == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(("text", "says"), [("1\nx\n", "line 2: 'x'"), ("1\ninf\n", "not finite"), ("", "no offsets")])
def test_a_bad_trace_is_named_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    """Path, line and what stands there."""
    trace = tmp_path / "trace.txt"
    trace.write_text(text)
    with pytest.raises(UsageError, match=says):
        list(Replay(str(trace)).arrivals(10.0, Random(1)))
    with pytest.raises(UsageError, match="nowhere"):
        list(Replay(str(tmp_path / "nowhere")).arrivals(10.0, Random(1)))


def test_a_schedule_is_a_function_of_its_seed_and_settings() -> None:
    """Equal hashes for equal loads, other ones for any change; a backlog has no offsets."""
    one = schedule.compute("poisson", {"rate_per_s": 50.0}, 5.0, None, 1)
    assert one.sha256 == schedule.compute("poisson", {"rate_per_s": 50.0}, 5.0, None, 1).sha256
    others = [
        schedule.compute("poisson", {"rate_per_s": 50.0}, 5.0, None, 2),
        schedule.compute("poisson", {"rate_per_s": 51.0}, 5.0, None, 1),
        schedule.compute("poisson", {"rate_per_s": 50.0}, 5.0, 10, 1),
        schedule.compute("backlog", {}, 5.0, None, 1),
    ]
    assert len({one.sha256, *(other.sha256 for other in others)}) == 5
    assert len(others[2]) == 10
    assert (others[3].offsets, len(others[3])) == (None, 0)


@pytest.mark.parametrize(
    ("kind", "given_", "duration", "says"),
    [
        ("poison", {}, 1.0, "did you mean poisson"),
        ("backlog", {"x": 1}, 1.0, "backlog has no settings"),
        ("constant", {"rate_per_s": -1}, 1.0, "above 0"),
        ("poisson", {"rate_per_s": 0.001}, 0.5, "no arrival in 500 ms"),
    ],
)
def test_impossible_loads_are_refused(kind: str, given_: dict[str, Any], duration: float, says: str) -> None:
    """In one line."""
    with pytest.raises(UsageError, match=says):
        schedule.compute(kind, given_, duration, None, 1)


def test_too_many_arrivals_are_refused_before_the_memory_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the bound."""
    monkeypatch.setattr(schedule, "ARRIVALS_MAX", 10)
    with pytest.raises(UsageError, match="more than 10 arrivals"):
        schedule.compute("constant", {"rate_per_s": 100.0}, 1.0, None, 1)


def write_pairs(path: Path, count: int) -> Path:
    """A file of `count` good lines."""
    path.write_text("".join(json.dumps({"text1": f"a{n}", "text2": f"b{n}"}) + "\n" for n in range(count)))
    return path


def test_bad_lines_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    """Not JSON, not an object, a field missing, bad UTF-8, a bad priority: set aside, never fatal."""
    path = tmp_path / "mixed.jsonl"
    good = b'{"text1": "a", "text2": "b", "priority": -3}\n'
    bad = [b"{\n", b"[1]\n", b'{"text1": "a"}\n', b"\xff\xfe\n", b'{"text1":"a","text2":"b","priority":"high"}\n']
    path.write_bytes(good + b"\n" + b"".join(bad) + good.rstrip())
    jsonl = Jsonl(path, priorities=True)
    rows = list(jsonl.rows(TASK))
    assert [(index, priority) for index, _, priority in rows] == [(0, -3), (6, -3)]
    assert jsonl.bad_lines == 5
    assert str(jsonl.first_bad_line).startswith("line 3: ")


def test_an_endless_line_is_set_aside_without_being_read(tmp_path: Path) -> None:
    """Longer than the bound: a bad line, and the next one is read as ever."""
    path = tmp_path / "long.jsonl"
    path.write_bytes(b"x" * (2 * LINE_MAX + 10) + b'\n{"text1": "a", "text2": "b"}\n')
    jsonl = Jsonl(path)
    assert len(list(jsonl.rows(TASK))) == 1
    assert jsonl.first_bad_line == f"line 1: longer than {LINE_MAX} bytes"


@pytest.mark.parametrize(("text", "says"), [("", "empty"), ('{"x": 1}\n', "no line is an item.*line 1")])
def test_a_file_without_a_good_line_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """Empty, or all bad; or not there at all."""
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError, match=says):
        list(Jsonl(path).rows(TASK))
    with pytest.raises(UsageError, match="No such file"):
        list(Jsonl(tmp_path / "none").rows(TASK))


def test_a_short_file_is_read_again_for_more_items(tmp_path: Path) -> None:
    """The index goes on counting."""
    rows = list(Jsonl(write_pairs(tmp_path / "p", 3), items=8).rows(TASK))
    assert [index for index, _, _ in rows] == list(range(8))


@given(lines=st.integers(1, 40), parts=st.integers(1, 7))
@settings(max_examples=30, deadline=None)
def test_shares_of_a_file_are_disjoint_and_complete(
    tmp_path_factory: pytest.TempPathFactory, lines: int, parts: int
) -> None:
    """Every line belongs to exactly one application."""
    path = write_pairs(tmp_path_factory.mktemp("x") / "p", lines)
    shares = [[index for index, _, _ in Jsonl(path).rows(TASK, part, parts)] for part in range(parts)]
    assert sorted(itertools.chain(*shares)) == list(range(lines))


def test_lines_are_counted_or_estimated(tmp_path: Path) -> None:
    """Exactly for a small file, with or without a last newline; by its beginning for a large one."""
    path = write_pairs(tmp_path / "p", 1000)
    assert count_lines(path) == 1000
    path.write_text("a\nb")
    assert count_lines(path) == 2
    path.write_text("x" * 9 + "\n")
    path.write_text(("x" * 1023 + "\n") * 4096)
    assert count_lines(path, at_most_bytes=1 << 20) == pytest.approx(4096, rel=0.01)


@pytest.mark.parametrize("distribution", ["constant", "uniform", "lognormal"])
def test_made_up_items_have_the_length_asked_for(distribution: Any) -> None:
    """On average; and item n is the same for every caller."""
    synthetic = Synthetic(distribution, mean=30.0)
    lengths = [synthetic.length(Random(n)) for n in range(2000)]
    assert sum(lengths) / len(lengths) == pytest.approx(30.0, rel=0.05)
    all_rows = list(synthetic.rows(TASK, 10, seed=5))
    assert [row for part in (0, 1) for row in synthetic.rows(TASK, 10, 5, part, 2)] == [
        *all_rows[::2],
        *all_rows[1::2],
    ]
    with pytest.raises(SettingError, match="high=1 must be at least low=5"):
        Synthetic(low=5, high=1)


def source(items: int | None = None, jsonl: Jsonl | None = None) -> Source:
    """Made-up items, or a file's."""
    return Source(jsonl, Synthetic(), items, seed=1)


def mix(*names: str) -> Mix:
    """Tasks of equal weight."""
    return Mix([(plugins.make("task", name), 1.0) for name in names or ("similarity",)], seed=1)


def test_a_backlog_is_due_at_zero_and_stops_at_once() -> None:
    """All items at the load's zero, no lag; after `stop` not one more."""

    async def main() -> None:
        feed = Feed(source(items=10), mix(), schedule.compute("backlog", {}, 1, 10, 1), 5.0, sleep_until)
        seen = []
        async for item in feed:
            seen.append(item)
            if len(seen) == 4:
                feed.stop(6.0)
        assert [(item.due, item.fired) for item in seen] == [(5.0, 5.0)] * 4
        assert (feed.pulled, feed.stopped, feed.scheduled(ended=False)) == (4, True, 10)
        assert feed.scheduled(ended=True) == 4

    virtually(main())


def test_arrivals_are_given_at_their_time_and_a_late_pull_is_the_strategys_wait() -> None:
    """Pulled early: fired when due. Pulled late: fired counts as due, for the load was ready."""

    async def main() -> None:
        times = schedule.compute("constant", {"rate_per_s": 10.0}, 0.5, None, 1)
        feed = Feed(source(), mix(), times, 1.0, sleep_until)
        loop, seen = asyncio.get_running_loop(), []
        async for item in feed:
            seen.append((round(item.due, 3), round(item.fired, 3), round(loop.time(), 3)))
            if len(seen) == 2:
                await asyncio.sleep(0.25)
        assert seen == [(1.0, 1.0, 1.0), (1.1, 1.1, 1.1), (1.2, 1.2, 1.35), (1.3, 1.3, 1.35), (1.4, 1.4, 1.4)]
        assert feed.scheduled(ended=True) == 5

    virtually(main())


def test_shares_of_arrivals_cycle_the_file_and_keep_the_past_out(tmp_path: Path) -> None:
    """Two applications share the schedule; one that starts later has no items from before."""

    async def main() -> None:
        times = schedule.compute("constant", {"rate_per_s": 10.0}, 1.0, None, 1)
        jsonl = Jsonl(write_pairs(tmp_path / "p", 4))
        first = Feed(source(jsonl=jsonl), mix(), times, 0.0, sleep_until, 0, 2)
        assert [item.index async for item in first] == [0, 2, 4, 6, 8]
        late = Feed(source(), mix(), times, 0.0, sleep_until, 1, 2, since=0.45)
        assert [item.index async for item in late] == [5, 7, 9]
        assert late.scheduled(ended=True) == 3
        late.stop(0.75)
        assert late.scheduled(ended=False) == 2

    virtually(main())


def test_a_mix_is_by_weight_and_the_same_for_everyone() -> None:
    """Task of item n is a function of seed and n; a mixed backlog and mixed arrivals are made up."""
    both = Mix([(plugins.make("task", "similarity"), 3.0), (plugins.make("task", "annotate"), 1.0)], seed=2)
    names = [both.pick(index).name for index in range(2000)]
    assert names.count("similarity") / 2000 == pytest.approx(0.75, abs=0.04)
    assert names == [both.pick(index).name for index in range(2000)]

    async def main() -> None:
        backlog = Feed(source(items=20), both, schedule.compute("backlog", {}, 1, 20, 1), 0.0, sleep_until)
        assert [item.task.name async for item in backlog] == names[:20]
        times = schedule.compute("constant", {"rate_per_s": 100.0}, 0.2, None, 1)
        arrivals = Feed(source(), both, times, 0.0, sleep_until)
        assert [item.task.name async for item in arrivals] == names[:20]

    virtually(main())


def test_a_made_up_backlog_needs_a_number() -> None:
    """Nobody can give out endless items at once."""
    with pytest.raises(ValueError, match="number of items"):
        source().rows(TASK, 0, 1)


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_the_alarm_rings_on_time_never_early(runner: Any) -> None:
    """On a real loop too; at once for the past, and at once for good when it is turned off."""
    from harness.base.clock import clock

    async def main() -> None:
        now, late = clock(), []
        async with Alarm() as alarm:
            for _ in range(30):
                when = now() + 0.0037
                await alarm.until(when)
                late.append(now() - when)
            await alarm.until(now() - 1)
            asyncio.get_running_loop().call_later(0.01, alarm.off)
            await alarm.until(now() + 60)
            await alarm.until(now() + 60)
        assert min(late) >= 0
        assert sorted(late)[15] < 0.02, "how precise it is, tests/bench says"

    runner(main())


def test_without_a_timerfd_the_loops_timer_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on other systems, and in virtual time."""
    monkeypatch.setattr("sys.platform", "plan9")

    async def main() -> None:
        async with Alarm() as alarm:
            await alarm.until(0.5)
            assert asyncio.get_running_loop().time() == pytest.approx(0.5)

    virtually(main())


@pytest.mark.parametrize("when", [0.0, 1.0, 12345.678901234, 3.9999999999999996, 86399.99999999999, 2.0**20 - 1e-9])
def test_an_alarm_is_set_to_a_valid_instant_that_is_not_early(when: float) -> None:
    """A second has 999,999,999 nanoseconds at most: one more is EINVAL, and nothing rings."""
    seconds, nanoseconds = timespec(when)
    assert 0 <= nanoseconds < 1_000_000_000
    assert 0 < seconds * 10**9 + nanoseconds - when * 1e9 <= 200


@pytest.mark.skipif(sys.platform != "linux", reason="timerfd is Linux's")
def test_an_alarm_that_cannot_be_set_falls_back_to_the_loops_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.base.timerfd.timespec", lambda when: (0, 1_000_000_000))

    async def main() -> float:
        loop = asyncio.get_running_loop()
        async with Alarm() as alarm:
            due = loop.time() + 0.01
            await asyncio.wait_for(alarm.until(due), 5.0)
            return loop.time() - due

    assert asyncio.run(main()) >= 0.0

"""Pacers: the right number of arrivals at the right instants, the same for the same seed."""

from __future__ import annotations

import math
from itertools import islice, pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import plugins
from harness.client.errors import SettingError, UsageError
from harness.load.pacers.constant import Constant
from harness.load.pacers.poisson import Poisson
from harness.load.pacers.ramp import Ramp
from harness.load.pacers.replay import Replay
from harness.load.pacers.spike import Spike
from harness.load.pacers.steps import Steps

rates = st.floats(0.5, 300.0)
durations = st.floats(0.5, 20.0)
factors = st.floats(0.1, 8.0)
seeds = st.integers(0, 2**32)


def arrivals(pacer: Any, duration_s: float, seed: int = 1) -> list[float]:
    return list(pacer.arrivals(duration_s, Random(seed)))


def within(offsets: list[float], low: float, high: float) -> int:
    return sum(1 for offset in offsets if low <= offset < high)


def poisson_bounds(mean: float) -> tuple[float, float]:
    """Six standard deviations and a little for small means: a chance of one in a hundred million to be outside."""
    return mean - 6 * math.sqrt(mean) - 1, mean + 6 * math.sqrt(mean) + 12


def is_about(count: int, mean: float) -> bool:
    low, high = poisson_bounds(mean)
    return low <= count <= high


def test_every_pacer_file_is_a_pacer_with_defaults_or_says_what_it_needs() -> None:
    for name in plugins.names("load"):
        cls = plugins.load("load", name)
        pacer = Replay("trace.txt") if cls is Replay else cls()
        assert plugins.name_of(type(pacer)) == name
        assert plugins.summary("load", name)
        assert plugins.build("load", name, plugins.settings_of(pacer)) == pacer


@given(
    st.one_of(
        st.builds(Constant, rates),
        st.builds(Poisson, rates),
        st.builds(Ramp, rates, factors, st.booleans()),
        st.builds(Spike, rates, factors, st.floats(0.01, 0.5), st.floats(0.01, 0.5), st.booleans()),
        st.builds(Steps, rates, st.lists(factors, min_size=1, max_size=5).map(tuple), st.booleans()),
    ),
    durations,
    seeds,
)
def test_offsets_ascend_within_the_duration_and_follow_the_seed(pacer: Any, duration_s: float, seed: int) -> None:
    offsets = arrivals(pacer, duration_s, seed)
    assert all(0 <= offset < duration_s for offset in offsets)
    assert all(before <= after for before, after in pairwise(offsets))
    assert offsets == arrivals(pacer, duration_s, seed)


@given(rates, durations)
def test_constant_has_one_arrival_at_every_multiple_of_its_gap(rate: float, duration_s: float) -> None:
    offsets = arrivals(Constant(rate), duration_s)
    assert offsets == pytest.approx([index / rate for index in range(len(offsets))])
    assert abs(len(offsets) - rate * duration_s) < 1 + 1e-9
    assert arrivals(Constant(10.0), 2.0) == pytest.approx([index / 10 for index in range(20)])


@given(rates, durations, seeds)
def test_poisson_counts_stay_within_poisson_bounds(rate: float, duration_s: float, seed: int) -> None:
    assert is_about(len(arrivals(Poisson(rate), duration_s, seed)), rate * duration_s)


def test_rounding_never_adds_an_arrival_nor_puts_one_at_the_end() -> None:
    assert 25.0 * (39.2 + 39.2) / 2 > 980  # the product is a little more than it should be
    assert len(arrivals(Constant(39.2), 25.0)) == 980
    for tenths in range(1, 200):
        assert len(arrivals(Constant(tenths / 10), 25.0)) == -(-tenths * 25 // 10)
    assert arrivals(Ramp(9.0, 1.5, poisson=False), 8.8)[-1] < 8.8


def test_poisson_gaps_are_exponential_and_seeds_differ() -> None:
    gaps = [after - before for before, after in pairwise(arrivals(Poisson(100.0), 200.0))]
    mean = sum(gaps) / len(gaps)
    variation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) / mean
    assert mean == pytest.approx(0.01, rel=0.03)
    assert variation == pytest.approx(1.0, abs=0.03)
    assert sum(gap > mean for gap in gaps) / len(gaps) == pytest.approx(math.exp(-1), abs=0.015)
    assert arrivals(Poisson(100.0), 1.0, 1) != arrivals(Poisson(100.0), 1.0, 2)


@given(rates, factors, durations, seeds)
def test_a_ramp_of_a_poisson_process_has_the_area_under_its_rate_in_each_half(
    rate: float, factor: float, duration_s: float, seed: int
) -> None:
    offsets = arrivals(Ramp(rate, factor), duration_s, seed)
    middle = (1 + factor) / 2
    assert is_about(within(offsets, 0, duration_s / 2), rate * (1 + middle) / 2 * duration_s / 2)
    assert is_about(within(offsets, duration_s / 2, duration_s), rate * (middle + factor) / 2 * duration_s / 2)


def test_an_even_ramp_is_exact() -> None:
    offsets = arrivals(Ramp(10.0, 3.0, poisson=False), 10.0)
    assert len(offsets) == 200
    for index, at in enumerate(offsets):
        assert 10 * at + at * at == pytest.approx(index, abs=1e-6)  # the cumulated rate at the n-th arrival is n
    falling = arrivals(Ramp(30.0, 1 / 3, poisson=False), 10.0)
    assert (within(falling, 0, 5), within(falling, 5, 10)) == (125, 75)


def test_a_spike_is_as_high_as_long_and_where_its_settings_say() -> None:
    offsets = arrivals(Spike(10.0, 5.0, 0.4, 0.2, poisson=False), 10.0)
    assert (within(offsets, 0, 4), within(offsets, 4, 6), within(offsets, 6, 10)) == (40, 100, 40)
    to_the_end = arrivals(Spike(10.0, 2.0, 0.5, 0.5, poisson=False), 10.0)
    assert (within(to_the_end, 0, 5), within(to_the_end, 5, 10)) == (50, 100)


def test_steps_last_equally_long_each_at_its_own_rate() -> None:
    offsets = arrivals(Steps(10.0, (1.0, 4.0, 2.0), poisson=False), 6.0)
    assert [within(offsets, low, low + 2) for low in (0, 2, 4)] == [20, 80, 40]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Constant(0.0), r"rate_per_s=0.0 must be above 0"),
        (lambda: Constant(math.inf), r"rate_per_s=inf must be above 0"),
        (lambda: Poisson(-1.0), r"rate_per_s=-1.0 must be above 0"),
        (lambda: Poisson(math.nan), r"rate_per_s=nan must be above 0"),
        (lambda: Ramp(factor=0.0), r"factor=0.0 must be above 0"),
        (lambda: Spike(width_share=-0.1), r"width_share=-0.1 must be above 0"),
        (lambda: Spike(start_share=0.9, width_share=0.2), r"start_share \+ width_share = 1.1 must be at most 1"),
        (lambda: Steps(factors=()), r"factors=\(\): at least one, each above 0 and finite"),
        (lambda: Steps(factors=(1.0, 0.0)), r"factors=\(1.0, 0.0\)"),
        (lambda: Steps(factors=(1.0, math.nan)), r"factors=\(1.0, nan\)"),
        (lambda: Steps(factors=(math.inf,)), r"factors=\(inf,\)"),
        (lambda: Replay("x", speed=0.0), r"speed=0.0 must be above 0"),
        (Replay, r"path is missing"),
    ],
)
def test_bad_settings_are_refused_with_field_value_and_range(make: Any, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        make()


def trace(folder: Path, text: str) -> str:
    path = folder / "trace.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_replay_reads_a_csv_with_header_comments_and_blank_lines_in_any_order(tmp_path: Path) -> None:
    path = trace(tmp_path, "at_s,path\n# morning\n103.5,/x\n\n101.0, /y\n  102.0 ,/z\n111.0,/late\n")
    assert arrivals(Replay(path), 10.0) == pytest.approx([0.0, 1.0, 2.5])
    assert arrivals(Replay(path, speed=2.0), 10.0) == pytest.approx([0.0, 0.5, 1.25, 5.0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1.0\nsoon\n", r"trace\.csv, line 2: 'soon' is not a number of seconds"),
        ("1.0\nnan\n", r"trace\.csv, line 2: 'nan' is not finite"),
        ("# nothing\n\n", r"trace\.csv: no offsets in it"),
    ],
)
def test_replay_names_the_line_that_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        arrivals(Replay(trace(tmp_path, text)), 10.0)


def test_replay_says_in_a_line_what_is_wrong_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        arrivals(Replay(str(tmp_path / "missing")), 1.0)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UsageError, match="is not UTF-8 but UTF-16"):
        arrivals(Replay(str(tmp_path / "binary")), 1.0)


def test_pacers_are_lazy_so_that_a_bound_can_cut_an_endless_one() -> None:
    assert len(list(islice(Poisson(1e9).arrivals(1e9, Random(1)), 5))) == 5

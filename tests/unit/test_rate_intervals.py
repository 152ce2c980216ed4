"""Intervals of rates and makespans over repeats."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from harness.base import units
from harness.measure.reduce.statistics import interval
from tests.measure_samples import summarize_case
from tests.unit.recorded import one_by_one, plan_case, write_case


def test_the_interval_is_a_t_interval_on_logarithms() -> None:
    """Repeats of 8, 10 and 12.5 are e^-h, 1 and e^h apart: t is 4.3027 at two degrees of freedom."""
    step = math.log(1.25)
    factor = math.exp(4.3027 * step / math.sqrt(3))
    assert list(interval(10.0, [8.0, 10.0, 12.5])) == pytest.approx([10 / factor, 10 * factor])


@pytest.mark.parametrize("figures", [[], [10.0, 11.0], [10.0, 11.0, 0.0], [10.0, 11.0, 12.0, None]])
def test_there_is_none_below_three_repeats_or_without_a_figure_of_one(figures: list[float | None]) -> None:
    """A repeat without a success is no reason for a narrow interval of the others."""
    assert interval(10.0, figures) == (None, None)


def test_equal_repeats_have_an_interval_without_width() -> None:
    """Not a division by zero."""
    assert interval(10.0, [10.0] * 4) == (10.0, 10.0)


def test_a_case_has_intervals_of_throughput_goodput_and_makespan_from_three_repeats_on(tmp_path: Path) -> None:
    """Ten requests one by one: 10, 9.09 and 11.1 per second."""
    for repeat, service_s in enumerate((0.1, 0.11, 0.09)):
        write_case(tmp_path, "sync", one_by_one(10, service_s), repeat)
        case = summarize_case(plan_case(repeats=repeat + 1), tmp_path)
        known = case.rates_per_s.completed_low is not None
        assert known == (repeat == 2)
    speed = case.rates_per_s
    assert (speed.completed_low, speed.completed_high) == interval(10.0, [10, 10 / 1.1, 10 / 0.9])
    assert (speed.goodput_low, speed.goodput_high) == (speed.completed_low, speed.completed_high)
    assert [case.makespan_low_s, case.makespan_high_s] == pytest.approx([0.7792, 1.2833], abs=1e-3)


def test_a_table_shows_the_farther_end_of_an_interval() -> None:
    """Without both ends it shows the value alone."""
    assert units.plus_minus("100/s", 100.0, 97.0, 103.1) == "100/s ±3.1 %"
    assert units.plus_minus("100 ms", 0.1, None, 0.2) == "100 ms"

"""The table at the end of `make bench` fits into a terminal."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bench.times_table import duration, lines


def benchmark(file: str, name: str, seconds: float, rounds: int) -> dict[str, Any]:
    times = {"min": seconds, "median": 2 * seconds, "mean": 3 * seconds}
    return {"fullname": f"tests/bench/{file}::{name}", "name": name, "rounds": rounds, **times}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(139.867, "140 s"), (99.94, "99.9 s"), (99.96, "100 s"), (9.994, "9.99 s"), (9.996, "10.0 s"), (1.0, "1.00 s"),
     (0.9996, "1.00 s"), (0.999, "999 ms"), (13.31e-6, "13.3 µs"), (1e-6, "1.00 µs"), (9e-7, "900 ns")],
)  # fmt: skip
def test_durations_have_three_digits_and_their_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_each_file_has_a_heading_and_each_benchmark_a_line() -> None:
    of_one = [benchmark("test_a_bench.py", "test_one", 2e-6, 7), benchmark("test_a_bench.py", "test_two", 3.0, 1)]
    found = list(lines([*of_one, benchmark("test_b_bench.py", "test_of_a_longer_name", 0.5, 12345)]))
    assert [line.split() for line in found] == [
        ["tests/bench/test_a_bench.py", "min", "median", "mean", "rounds"],
        ["one", "2.00", "µs", "4.00", "µs", "6.00", "µs", "7"],
        ["two", "3.00", "s", "6.00", "s", "9.00", "s", "1"],
        ["tests/bench/test_b_bench.py", "min", "median", "mean", "rounds"],
        ["of_a_longer_name", "500", "ms", "1.00", "s", "1.50", "s", "12345"],
    ]


def test_no_line_is_longer_than_120_columns() -> None:
    found = list(lines([benchmark("test_a_bench.py", f"test_{'x' * 200}", 139.9, 123456)]))
    assert [len(line) for line in found] == [120, 120]

"""The times of all benchmarks as a table of at most 120 columns, file by file in the order in which they ran."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

COLUMNS = ("min", "median", "mean")
NAME_WIDTH = 83


def lines(benchmarks: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each benchmark, with the least, median and mean time of a round and the number of rounds."""
    width = min(NAME_WIDTH, max(max(len(_name(one)), len(_file(one))) for one in benchmarks))
    file = ""
    for one in benchmarks:
        if _file(one) != file:
            file = _file(one)
            yield f"{file[:width]:<{width}}{''.join(f'{column:>10}' for column in COLUMNS)}{'rounds':>7}"
        times = "".join(f"{duration(one[column]):>10}" for column in COLUMNS)
        yield f"{_name(one)[:width]:<{width}}{times}{one['rounds']:>7}"


def _file(benchmark: dict[str, Any]) -> str:
    return str(benchmark["fullname"]).partition("::")[0]


def _name(benchmark: dict[str, Any]) -> str:
    return "  " + str(benchmark["name"]).removeprefix("test_")


def duration(seconds: float) -> str:
    """Three digits with the unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= 0.9995 * size:
            return f"{seconds / size:.{0 if seconds >= 99.95 * size else 1 if seconds >= 9.995 * size else 2}f} {unit}"
    return f"{seconds * 1e9:.0f} ns"

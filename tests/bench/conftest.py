"""With `--benchmark-quiet` the benchmarks end with a table that a terminal can show, in place of pytest-benchmark's."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests.bench.times_table import lines

MEASURED = pytest.StashKey[list[dict[str, Any]]]()


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_benchmark_group_stats(
    config: pytest.Config, benchmarks: list[dict[str, Any]]
) -> Generator[None, object, object]:
    """Keep what was measured for the table."""
    config.stash[MEASURED] = benchmarks
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table, if any was measured."""
    if (measured := config.stash.get(MEASURED, [])) and config.getoption("benchmark_quiet"):
        terminalreporter.section("benchmarks")
        for line in lines(measured):
            terminalreporter.write_line(line)

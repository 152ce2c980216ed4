"""How long a person waits for the first word, and how precise the two alarms are: real time, not in `make test`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from statistics import median
from typing import Any

import pytest
import uvloop

from harness.base.clock import clock
from harness.load.timer import Alarm
from mock_server.timers import Timers
from tests.processes import ROOT


@pytest.mark.slow
def test_help_takes_less_than_a_third_of_a_second(benchmark: Any) -> None:
    """The best of the rounds."""
    line = [sys.executable, "-m", "harness", "--help"]
    benchmark.pedantic(lambda: subprocess.run(line, cwd=ROOT, check=True, capture_output=True), rounds=5)
    assert benchmark.stats.stats.min < 0.3


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_the_alarm_rings_within_a_millisecond(benchmark: Any, runner: Any) -> None:
    """The median of thirty, none of which falls on a whole millisecond."""

    async def lateness() -> float:
        now, late = clock(), []
        async with Alarm() as alarm:
            for _ in range(30):
                when = now() + 0.0037
                await alarm.until(when)
                late.append(now() - when)
        return median(late)

    medians: list[float] = []
    benchmark.pedantic(lambda: medians.append(runner(lateness())), rounds=5)
    assert min(medians) < 0.001


def test_the_timers_of_the_mock_fire_within_a_millisecond(benchmark: Any) -> None:
    """The median of nine."""

    async def lateness() -> float:
        timers, late = Timers(), []
        begun = time.monotonic()
        for index in range(1, 10):
            when = begun + index * 0.0031
            timers.at(when, lambda when: late.append(timers.clock() - when), when)
        await timers.sleep_until(begun + 0.03)
        return median(late)

    medians: list[float] = []
    benchmark.pedantic(lambda: medians.append(uvloop.run(lateness())), rounds=5)
    assert min(medians) < 0.001

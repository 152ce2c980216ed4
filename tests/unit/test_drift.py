"""Drift within a case: false alarms, power, and whole runs on a server that changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.experiment.prepare import prepare
from harness.experiment.run import execute
from harness.experiment.settings import RunSettings
from harness.experiment.simulate.compare import VirtualTime
from harness.measure.reduce import columns
from harness.measure.reduce.drift import drift, is_trend
from harness.measure.result import RunResult
from tests.simulation.statistics.calibration import queue

Array = np.ndarray[Any, np.dtype[Any]]
EXPERIMENTS = 200


def busy(load: float, requests: int, rng: np.random.Generator, rise: float = 0.0) -> Array:
    """Latencies of a queue in its steady state, which rise by this share over the run."""
    values: Array = columns.latency(queue(load, requests, rng)) * np.linspace(1, 1 + rise, requests)
    return values


def independent(requests: int, rng: np.random.Generator, rise: float = 0.0) -> Array:
    """Lognormal service times, which rise by this share over the run."""
    values: Array = rng.lognormal(0, 0.3, requests) * 1e7 * np.linspace(1, 1 + rise, requests)
    return values


def alarms(make: Callable[[], list[Array]], experiments: int = EXPERIMENTS) -> float:
    """The share of experiments in which a drift is found."""
    return sum(drift(make()) is not None for _ in range(experiments)) / experiments


@pytest.mark.no_cover
@pytest.mark.parametrize("repeats", [1, 4])
@pytest.mark.parametrize(("load", "requests"), [(0.5, 600), (0.8, 600), (0.8, 5_000)])
def test_a_steady_queue_drifts_in_at_most_5_percent_of_runs(load: float, requests: int, repeats: int) -> None:
    """At 80 % load 600 requests are one episode of congestion, which looks like a trend to a test that ignores it."""
    rng = np.random.default_rng(1)
    assert alarms(lambda: [busy(load, requests, rng) for _ in range(repeats)]) <= 0.05


@pytest.mark.parametrize("requests", [200, 2_000])
def test_independent_times_drift_in_at_most_5_percent_of_runs(requests: int) -> None:
    rng = np.random.default_rng(1)
    assert alarms(lambda: [independent(requests, rng)]) <= 0.05


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("make", "power"),
    [
        (lambda rng: [independent(600, rng, 0.2)], 0.8),
        (lambda rng: [independent(2_000, rng, 0.15)], 0.95),
        (lambda rng: [independent(600, rng, 0.15) for _ in range(4)], 0.95),
        (lambda rng: [busy(0.5, 20_000, rng, 0.5)], 0.95),
        (lambda rng: [independent(600, rng, -0.2)], 0.8),
    ],
    ids=["20 % in 600", "15 % in 2,000", "15 % in 4 x 600", "50 % of a queue in 20,000", "-20 % in 600"],
)
def test_a_drift_is_found(make: Callable[[np.random.Generator], list[Array]], power: float) -> None:
    rng = np.random.default_rng(1)
    assert alarms(lambda: make(rng), 100) >= power


def test_a_drift_below_5_percent_and_too_few_requests_are_not_reported() -> None:
    rng = np.random.default_rng(1)
    assert drift([independent(50_000, rng, 0.04)]) is None
    assert drift([independent(199, rng, 5.0)]) is None
    assert drift([]) is None


def test_equal_blocks_have_no_trend_and_a_straight_line_has_one() -> None:
    assert not is_trend(np.full(40, 0.5))
    assert is_trend(np.arange(40.0))


SLOWER = """[service]
base_s = 0.02
[service.jitter]
kind = "lognormal"
cv = 0.2
[capacity]
workers = {workers}
[[changes]]
at_s = 5
speed = {speed}
[[changes]]
at_s = 10
speed = {later}
"""


def played(tmp_path: Path, speed: float = 1.0, workers: int = 8, **more: Any) -> RunResult:
    """A run of fifteen seconds on a server that changes its speed twice."""
    profile = tmp_path / "slower.toml"
    profile.write_text(SLOWER.format(workers=workers, speed=speed, later=speed**2))
    plain: dict[str, Any] = {
        "strategies": ("queue-stream:concurrency=4",), "server": str(profile), "load": "constant", "rate": 60.0,
        "duration": 15.0, "simulated": True, "calibrate": False, "out": tmp_path / "run", "overwrite": True,
    }  # fmt: skip
    run = prepare(RunSettings(**{**plain, **more}))
    return execute(run, lambda event, facts: None, VirtualTime(run))[0]


def texts(result: RunResult) -> list[str]:
    """The reasons with the code of a drift."""
    return [reason.text for reason in result.verdict.reasons if reason.code == "drift"]


def test_a_server_that_becomes_slower_is_named_and_the_run_stays_valid(tmp_path: Path) -> None:
    result = played(tmp_path, speed=0.85)
    (text,) = texts(result)
    assert text.startswith("The service time rose by 41.6 % during the run")
    assert "its median was 19" in text
    assert "Possible: the server or the machine became slower, or more arrived than was answered." in text
    assert result.verdict.status == "valid"
    (case,) = result.cases
    assert case.service_drift is not None
    assert case.service_drift.last_s / case.service_drift.first_s == pytest.approx(1 / 0.85**2, rel=0.05)


@pytest.mark.no_cover
def test_a_backlog_on_a_server_that_becomes_slower_drifts_but_neither_a_steady_one_nor_unbounded(
    tmp_path: Path,
) -> None:
    backlog: dict[str, Any] = {"load": None, "rate": None, "duration": None, "items": 2_000}
    assert "Possible: the server or the machine became slower. The" in texts(played(tmp_path, 0.85, **backlog))[0]
    assert not texts(played(tmp_path, **backlog))
    assert not texts(played(tmp_path, 0.85, **{**backlog, "strategies": ("unbounded",)}))
    assert not texts(played(tmp_path, 0.85, **{**backlog, "strategies": ("adaptive",)}))


def test_a_steady_server_does_not_drift_and_a_load_that_changes_is_not_tested(tmp_path: Path) -> None:
    assert not texts(played(tmp_path))
    assert not texts(played(tmp_path, 0.5, load="ramp", rate=None))


def test_an_overloaded_server_drifts(tmp_path: Path) -> None:
    result = played(tmp_path, workers=1, strategies=("unbounded",))
    assert "more arrived than was answered" in texts(result)[0]

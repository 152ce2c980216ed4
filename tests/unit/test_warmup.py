"""The warm-up: a fixed time, what MSER-5 removes beyond it, and a case that never settles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.client.errors import UsageError
from harness.experiment.prepare import prepare
from harness.experiment.run import execute
from harness.experiment.settings import RunSettings
from harness.experiment.simulate.compare import VirtualTime
from harness.measure.judge.verdict import verdict
from harness.measure.reduce import columns
from harness.measure.reduce.counting import Evidence
from harness.measure.reduce.warmup import cut, mser
from harness.measure.result import Case
from tests.simulation.statistics import settling
from tests.simulation.statistics.calibration import queue

Array = np.ndarray[Any, np.dtype[Any]]
Series = tuple[Array, Array]


def series(rows: Array) -> Series:
    """Due and latency."""
    return rows["due"], columns.latency(rows)


def independent(n: int, rng: np.random.Generator, slow: int = 0, factor: float = 1.0) -> Series:
    """Lognormal latencies, the first `slow` of them longer."""
    rows, latency = queue(0.5, n, rng), rng.lognormal(0, 0.3, n) * 1e7
    latency[:slow] *= factor
    rows["done"] = rows["due"] + latency.astype(np.int64)
    return series(rows)


def test_mser_cuts_where_the_standard_error_of_the_rest_is_least() -> None:
    """By hand: after two high values the rest is constant."""
    assert mser(np.array([9.0, 8.0, *[1.0, 2.0] * 10])) == 2
    assert mser(np.array([1.0, 2.0] * 10)) == 0
    rising = np.arange(40.0)
    assert mser(rising) > 20
    assert mser(rising, 20) == 20


def share(make: Any, experiments: int = 100) -> tuple[float, float]:
    """The shares of experiments with a cut, and of those that are called unsettled."""
    found = [cut([make()], 0) for _ in range(experiments)]
    return np.mean([one.begins_ns > 0 for one in found]), np.mean([one.settled is False for one in found])


@pytest.mark.parametrize(("requests", "load"), [(300, None), (2_000, None), (2_000, 0.5), (20_000, 0.8)])
def test_stationary_series_are_hardly_ever_cut_or_called_unsettled(requests: int, load: float | None) -> None:
    rng = np.random.default_rng(1)
    make = (lambda: independent(requests, rng)) if load is None else (lambda: series(queue(load, requests, rng)))
    with_cut, unsettled = share(make)
    assert with_cut <= 0.05
    assert unsettled <= 0.05


def even_server(n: int, load: float, rng: np.random.Generator) -> Series:
    """Poisson arrivals at two workers whose service times hardly differ."""
    due = np.cumsum(rng.exponential(1 / (100 * load), n))
    free, done = [0.0, 0.0], np.empty(n)
    for at, (arrived, took) in enumerate(zip(due, rng.normal(0.02, 0.002, n), strict=True)):
        worker = free.index(min(free))
        free[worker] = done[at] = max(free[worker], arrived) + took
    due, done = (np.asarray(instants * 1e9, np.int64) for instants in (due, done))
    return due, done - due


@pytest.mark.parametrize(("requests", "load"), [(400, 0.5), (1_500, 0.2), (1_500, 0.5)])
def test_an_even_server_is_hardly_ever_called_unsettled(requests: int, load: float) -> None:
    """The few batches at the end of a run say little about their own spread: they were chosen because it is small."""
    rng = np.random.default_rng(7)
    assert share(lambda: even_server(requests, load, rng))[1] <= 0.05


@pytest.mark.no_cover
@pytest.mark.parametrize("workers", [1, 5])
@pytest.mark.parametrize(("load", "requests"), [(0.8, 600), (0.9, 300), (0.9, 600), (0.9, 1_500)])
def test_a_busy_queue_is_hardly_ever_called_unsettled(workers: int, load: float, requests: int) -> None:
    """Neighbouring batches of a busy queue are alike, which looks like a change to a test that ignores it."""
    assert settling.unsettled(settling.steady(workers, load, requests), 60) <= 0.05


@pytest.mark.parametrize(
    ("make", "power"),
    [
        (settling.overloaded(1, 1.3, 600), 0.95),
        (settling.overloaded(5, 1.1, 2_000), 0.7),
        (settling.independent(600, 2.0), 0.95),
        (settling.independent(2_000, 1.3), 0.75),
    ],
    ids=["30 % too much", "10 % too much", "twice as slow", "30 % slower"],
)
def test_a_run_that_changes_is_called_unsettled(make: settling.Make, power: float) -> None:
    """An overloaded server, and one that is slower for two thirds of the run."""
    assert settling.unsettled(make, 40) >= power


@pytest.mark.parametrize(("requests", "slow", "factor"), [(600, 60, 1.5), (600, 200, 1.3), (2_000, 200, 0.8)])
def test_a_warm_up_is_found_and_little_more_is_removed(requests: int, slow: int, factor: float) -> None:
    """Slower or faster at first; a batch of five slices is at most 25 requests here."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(50):
        one = independent(requests, rng, slow, factor)
        found.append(int(np.searchsorted(one[0], cut([one], 0).begins_ns)))
    assert np.mean([place >= slow * 0.8 for place in found]) >= 0.9, found
    assert np.mean([place <= slow * 1.3 for place in found]) >= 0.75, found


def test_a_run_that_is_slow_for_two_thirds_has_not_settled_and_loses_only_the_fixed_time() -> None:
    one = independent(600, np.random.default_rng(1), 400, 2.0)
    assert cut([one], 0) == (0, False)
    floor_ns = int(one[0][50])
    assert cut([one], floor_ns) == (floor_ns, False)


def test_fixed_time_and_cut_together_leave_half_of_the_arrivals() -> None:
    one = independent(2_000, np.random.default_rng(1), 1_100, 2.0)
    assert cut([one], int(one[0][800])).settled is False


def test_too_few_requests_are_not_judged() -> None:
    assert cut([independent(299, np.random.default_rng(1))], 5) == (5, None)
    assert cut([], 5) == (5, None)


SLOW_START = """[service]
base_s = 0.02
[service.jitter]
kind = "lognormal"
[capacity]
workers = {workers}
[[changes]]
at_s = 0
speed = 0.4
[[changes]]
at_s = 2
speed = 1
"""


def settings(tmp_path: Path, workers: int = 8, **more: Any) -> RunSettings:
    """A server that is slow in its first two seconds, in virtual time."""
    profile = tmp_path / "slow.toml"
    profile.write_text(SLOW_START.format(workers=workers))
    plain: dict[str, Any] = {
        "strategies": ("unbounded",), "server": str(profile), "load": "poisson", "rate": 60.0, "duration": 15.0,
        "simulated": True, "calibrate": False, "out": tmp_path / "run",
    }  # fmt: skip
    return RunSettings(**{**plain, **more})


def case_of(found: RunSettings) -> Case:
    """The only case of a run."""
    run = prepare(found)
    result, _ = execute(run, lambda event, facts: None, VirtualTime(run))
    (case,) = result.cases
    return case


def test_the_warm_up_of_a_run_is_removed_from_its_figures_and_shown(tmp_path: Path) -> None:
    case = case_of(settings(tmp_path))
    found = case.warmup
    assert found is not None
    assert found.settled is True
    assert 1.8 <= found.removed_s <= 5.0
    assert case.counts.ok == case.counts.scheduled == case.latency_s.n + found.removed
    assert case.latency_s.p50.value == pytest.approx(0.019, abs=0.002)
    assert found.removed_p50_s is not None
    assert found.removed_p50_s > 0.035
    counted = case.latency_s.n / ((case.makespan_s or 0.0) - found.removed_s)
    assert case.rates_per_s.completed == pytest.approx(counted)
    assert case.in_flight.mean == pytest.approx(counted * (case.latency_s.mean or 0.0), rel=0.05), "Little's law"
    (one,) = case.by_repeat
    assert (one.ok, one.warmup_s, one.ok_in_warmup) == (case.counts.ok, found.removed_s, found.removed)
    assert one.latency_s.p50 == case.latency_s.p50.value
    assert case.warnings[0].startswith("warm-up: the first ")
    assert f"do not count ({found.removed} of {case.counts.ok} answers; their median latency is" in case.warnings[0]


@pytest.mark.no_cover
def test_a_fixed_time_is_removed_from_every_load_with_arrivals_and_none_counts_all(tmp_path: Path) -> None:
    fixed = case_of(settings(tmp_path, warmup=3.0)).warmup
    assert fixed is not None
    assert (fixed.floor_s, fixed.removed_s, fixed.settled) == (3.0, 3.0, True)
    ramp = case_of(settings(tmp_path, load="ramp", rate=None, warmup=1.0, overwrite=True)).warmup
    assert ramp is not None
    assert (ramp.removed_s, ramp.settled) == (1.0, None)
    everything = case_of(settings(tmp_path, warmup="none", overwrite=True))
    assert everything.warmup is None
    assert everything.latency_s.n == everything.counts.ok


def test_a_server_that_is_overloaded_never_settles_and_the_verdict_says_so(tmp_path: Path) -> None:
    case = case_of(settings(tmp_path, workers=1))
    assert case.warmup is not None
    assert (case.warmup.settled, case.warmup.removed_s) == (False, 0.0)
    judged = verdict([case], [Evidence(case.name, rows=case.counts.ok, recorded=case.counts.ok)])
    assert "unsettled" in [reason.code for reason in judged.reasons]


def test_a_warm_up_of_a_backlog_or_of_more_than_half_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--warmup 3: a backlog is one job, and all of it counts"):
        prepare(settings(tmp_path, load=None, rate=None, duration=None, items=100, warmup=3.0))
    with pytest.raises(UsageError, match=r"--warmup 8: must be between 0 and half of the arrivals \(7.5 s\)"):
        prepare(settings(tmp_path, warmup=8.0))


def test_the_chart_over_time_shades_the_warm_up(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    from reports.charts.latency_over_time import _draw
    from reports.drawing.theme import LIGHT

    for warmup, shaded in ((3.0, 1), ("none", 0)):
        case = case_of(settings(tmp_path, warmup=warmup, overwrite=True))
        axes = Figure().subplots()
        _draw(axes, case, case.timeline, LIGHT)
        assert len(axes.patches) == shaded

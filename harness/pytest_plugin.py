"""The fixture `paceline_load` for pytest: plays a load inside a test, asserts an SLO, reports to pytest-benchmark.

Rules of this file
  1. pytest loads it in every project that has paceline installed, so nothing else of paceline is imported before a test
     asks for the fixture.
  2. pytest-benchmark measures the figures of the load, not the time of the test: its rounds are the repeats, and a
     clock that is advanced by each figure stands for its timer.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.measure.result import Case, RunResult

BENCHMARK = "benchmark"
TIME_PER_SUCCESS = "time_per_success"
POINTS = ("p50", "p90", "p95", "p99", "p99_9", "mean", "max")
FAMILIES = {
    "service_": "service_time_s",
    "ttft_": "ttft_s",
    "itl_": "itl_s",
    "tpot_": "tpot_s",
    "e2e_": "e2e_s",
    "": "latency_s",
}


class FigureClock:
    """A clock that stands still until it is advanced."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Let this much time pass."""
        self.now_s += seconds


REPORTED = pytest.StashKey[FigureClock]()


class PlayedLoad:
    """A load that was played: its result, and assertions on it."""

    def __init__(self, result: RunResult, directory: Path) -> None:
        self.result = result
        self.directory = directory
        self.case: Case = result.cases[0]

    def assert_slo(self, conditions: str) -> None:
        """Fail the test for each condition that does not hold: `load.assert_slo("p99<500ms,errors<1%")`."""
        from harness.measure.judge import slo

        failed = [slo.describe(check) for check in slo.check(slo.parse(conditions), self.case) if not check.passed]
        if failed:
            self._fail("SLO failed", failed)

    def assert_valid(self) -> None:
        """Fail the test if the measurement is invalid, skip it if it is inconclusive."""
        reasons = [reason.text for reason in self.result.verdict.reasons]
        if self.result.verdict.status == "invalid":
            self._fail("the measurement is invalid", reasons)
        if self.result.verdict.status == "inconclusive":
            pytest.skip("the measurement is inconclusive: " + " ".join(reasons))

    def _fail(self, what: str, lines: list[str]) -> None:
        said = "\n".join(f"  {line}" for line in lines)
        pytest.fail(f"{what}: {self.case.name}\n{said}\n  run: {self.directory}", pytrace=False)


class LoadPlayer:
    """Plays loads for one test. The first one is reported to pytest-benchmark."""

    def __init__(self, folder: Path, report: Callable[[PlayedLoad, str], None] | None) -> None:
        self._folder = folder
        self._report = report
        self._played = 0

    def __call__(
        self, strategy: str, *, slo: str | None = None, figure: str = "", simulated: bool = False, **settings: Any
    ) -> PlayedLoad:
        """Play one strategy, and assert that the measurement is valid and the SLO holds.

        Args:
            strategy: Strategy with its settings, as on the command line: "queue-stream:concurrency=20".
            slo: Conditions such as "p99<500ms,errors<1%".
            figure: Time that pytest-benchmark gets: a metric of --slo such as "p99", or "time_per_success".
                The default is p50 under arrivals, and the time per success in a backlog.
            simulated: Play in virtual time against a mock profile.
            settings: Fields of RunSettings: target, server, rate, duration, items, repeats, task, seed and others.
        """
        self._played += 1
        result, directory = _play(self._folder / f"load-{self._played}", strategy, slo, simulated, settings)
        load = PlayedLoad(result, directory)
        if result.verdict.status != "invalid" and self._report is not None:
            self._report(load, figure)
            self._report = None
        # A failed condition comes before an inconclusive measurement, as in the exit codes.
        if slo is not None and result.verdict.status != "invalid":
            load.assert_slo(slo)
        load.assert_valid()
        return load


def _play(
    directory: Path, strategy: str, slo: str | None, simulated: bool, settings: dict[str, Any]
) -> tuple[RunResult, Path]:
    from harness.client.errors import UsageError
    from harness.experiment.prepare import prepare
    from harness.experiment.run import execute
    from harness.experiment.settings import RunSettings

    if {"server", "target"} <= {name for name, value in settings.items() if value is not None}:
        raise pytest.UsageError("paceline_load: server and target exclude each other: server is for the embedded mock")
    arrivals = {"rate", "duration", "load"} & set(settings)
    given = {"scenario": "steady" if arrivals else "backlog", **_parsed(settings), "out": directory}
    try:
        made = RunSettings(strategies=(strategy,), slo=slo, simulated=simulated, command="pytest", **given)
        run = prepare(made)
    except (UsageError, TypeError) as error:
        raise pytest.UsageError(f"paceline_load: {error}") from error
    backend = None
    if simulated:
        from harness.experiment.simulate.compare import VirtualTime

        backend = VirtualTime(run)
    result, interrupted = execute(run, lambda event, facts: None, backend)
    if interrupted:
        raise KeyboardInterrupt
    return result, run.directory


def _parsed(settings: dict[str, Any]) -> dict[str, Any]:
    """Durations and rates may be texts with units."""
    from harness.base.quantity import duration_s, rate_per_s

    parsers = {"duration": duration_s, "drain_s": duration_s, "rate": rate_per_s}
    try:
        return {key: parsers[key](value) if key in parsers else value for key, value in settings.items()}
    except ValueError as error:
        raise pytest.UsageError(f"paceline_load: {error}") from error


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give tests with a load the fixture of pytest-benchmark, so that --benchmark-only and --benchmark-skip see them.

    A test that asks for it by itself keeps it for itself.
    """
    if not config.pluginmanager.hasplugin(BENCHMARK):
        return
    fixtures = [(item, getattr(item, "fixturenames", [])) for item in items]
    chosen = [(item, names) for item, names in fixtures if "paceline_load" in names and BENCHMARK not in names]
    for item, names in chosen:
        item.stash[REPORTED] = FigureClock()
        # Items of one parametrized test share this list.
        if BENCHMARK not in names:
            names.append(BENCHMARK)


@pytest.fixture
def paceline_load(request: pytest.FixtureRequest, tmp_path: Path) -> LoadPlayer:
    """Plays a load inside a test: `paceline_load("queue-stream:concurrency=20", target=URL, rate=40, slo="p99<1s")`."""
    clock = request.node.stash.get(REPORTED, None)
    if clock is None:
        return LoadPlayer(tmp_path, None)
    own = request.node.get_closest_marker(BENCHMARK)
    request.node.add_marker(pytest.mark.benchmark(**{**(own.kwargs if own else {}), "timer": clock}), append=False)
    benchmark = request.getfixturevalue(BENCHMARK)
    # Without figures there is nothing to report, and nothing to warn of.
    benchmark.skipped = True
    return LoadPlayer(tmp_path, lambda load, figure: _report(benchmark, clock, load, figure))


def _report(benchmark: Any, clock: FigureClock, load: PlayedLoad, figure: str) -> None:
    """Give pytest-benchmark one round for each repeat, and percentiles with their intervals as extra information."""
    values = figures(load.case, figure)
    if not values:
        return
    benchmark.skipped = False
    rounds = iter(values)
    benchmark.pedantic(lambda: clock.advance(next(rounds)), rounds=len(values), iterations=1)
    spread = load.case.latency_s
    quantiles = {name: getattr(spread, name) for name in ("p50", "p95", "p99")}
    benchmark.extra_info.update(
        {name: [found.value, found.low, found.high] for name, found in quantiles.items() if found.value is not None}
    )
    benchmark.extra_info.update(
        strategy=load.case.name, figure=figure or "default", completed_per_s=load.case.rates_per_s.completed,
        verdict=load.result.verdict.status,
    )  # fmt: skip


def figures(case: Case, figure: str) -> list[float]:
    """The figure of each repeat, in seconds. Raises pytest.UsageError for an unknown one."""
    figure = figure or (TIME_PER_SUCCESS if case.load.kind == "backlog" else "p50")
    if figure == TIME_PER_SUCCESS:
        return [one.makespan_s / one.ok for one in case.by_repeat if one.makespan_s and one.ok]
    if figure == "makespan":
        return [one.makespan_s for one in case.by_repeat if one.makespan_s]
    prefix = next(prefix for prefix in FAMILIES if figure.startswith(prefix))
    name = figure.removeprefix(prefix).replace(".", "_")
    if name not in POINTS:
        families = "service_, ttft_, itl_, tpot_ or e2e_"
        expected = f"time_per_success, makespan, p50 p90 p95 p99 p99.9 mean max (also with {families})"
        raise pytest.UsageError(f"paceline_load: figure={figure!r}: expected one of {expected}")
    points = [getattr(one, FAMILIES[prefix]) for one in case.by_repeat]
    return [value for one in points if one is not None and (value := getattr(one, name)) is not None]

"""Processes of a client count as far as the machine that ran has cores for them, whatever machine reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from harness.measure.judge.verdict import verdict
from harness.measure.record.environment import usable_cores
from harness.measure.record.plan import Measured, write_measured
from harness.measure.reduce.case_figures import ceiling_of
from harness.measure.reduce.summary import summarize_run
from harness.measure.result import Counts, Resources, Target
from harness.measure.self_test_result import KnownMachine
from tests.unit.recorded import plan, plan_case, steady, write_case
from tests.unit.test_measure_verdict import SOUND, case, codes


@pytest.mark.parametrize(
    ("environment", "cores"),
    [
        ({"cpu_cores": 8, "cpu_cores_usable": 2, "cgroup_cpu_quota": None}, 2),
        ({"cpu_cores": 8, "cpu_cores_usable": None, "cgroup_cpu_quota": None}, 8),
        ({"cpu_cores": 64, "cpu_cores_usable": 64, "cgroup_cpu_quota": 1.5}, 1.5),
        ({"simulated": "yes"}, None),
    ],
)
def test_the_cores_that_a_run_could_use(environment: dict[str, Any], cores: float | None) -> None:
    """Those of the affinity or the control group, whichever are fewer."""
    assert usable_cores(environment) == cores


@pytest.mark.parametrize(
    ("processes", "cores", "server", "expected"),
    [
        (4, 2, None, 2_000),
        (4, 2, "null", 1_000),
        (4, 1, "null", 1_000),
        (4, 0.5, None, 1_000),
        (4, 1.5, None, 1_500),
        (4, 8, "null", 4_000),
        (4, 5, "null", 4_000),
        (4, 4, "null", 3_000),
        (1, 8, None, 1_000),
        (4, None, None, 4_000),
    ],
)
def test_the_ceiling_is_that_of_as_many_processes_as_have_a_core(
    processes: int, cores: float | None, server: str | None, expected: float
) -> None:
    """An embedded server has one of them, if there are several; an earlier version did not record the cores."""
    measured = Measured(Target("http://x", server), {"asyncio": 1_000.0}, cores=cores)
    assert ceiling_of(plan_case(processes=processes), measured) == expected


@pytest.mark.parametrize(
    ("processes", "cores", "remedy"),
    [
        (1, 4, "more --processes, a faster machine"),
        (1, None, "more --processes, a faster machine"),
        (1, 1, "a machine with more cores"),
        (2, 2, "a machine with more cores"),
    ],
)
def test_more_processes_are_the_remedy_where_a_core_is_left(processes: int, cores: float | None, remedy: str) -> None:
    """For a client at its ceiling."""
    of = case("poisson", resources=Resources(ceiling_per_s=100.0, ceiling_share=0.9))
    [reason] = verdict([of], [replace(SOUND, processes=processes, cores=cores)]).reasons
    assert reason.text.endswith(f"Use {remedy}, or a lower rate.")


def test_a_client_of_more_processes_than_cores_reaches_its_ceiling(tmp_path: Path) -> None:
    """400 requests in 4.09 s are 98/s: 82 % of 120/s, and 41 % of four processes without a bound."""
    write_case(tmp_path, "sync", steady(400))
    plan(tmp_path, plan_case("sync", processes=4))
    write_measured(Measured(Target("http://x"), {"asyncio": 60.0}, cores=2), tmp_path)
    result = summarize_run(tmp_path)
    assert result.cases[0].resources.ceiling_share == pytest.approx(400 / 4.09 / 120)
    assert "client_ceiling" in [reason.code for reason in result.verdict.reasons]


@pytest.mark.parametrize(
    ("share", "cores", "expected"),
    [(0.39, 2, []), (0.41, 2, ["client_ceiling"]), (0.41, 4, []), (0.79, 8, []), (0.81, 8, ["client_ceiling"])],
)
def test_processes_that_share_cores_use_them_together(share: float, cores: float, expected: list[str]) -> None:
    """Four processes at 41 % of a core use 82 % of two."""
    of = case("poisson", resources=Resources(client_cpu_share=share))
    assert codes(of, processes=4, cores=cores) == expected


@pytest.mark.parametrize(
    ("cores", "server", "expected"),
    [(2, None, ["known_ceiling"]), (8, None, []), (3, None, []), (3, "null", ["known_ceiling"])],
)
def test_the_ceiling_of_a_stored_self_test_is_bounded_in_the_same_way(
    cores: float, server: str | None, expected: list[str]
) -> None:
    """1,500/s are 75 % of two processes and 50 % of three."""
    counts = Counts(scheduled=1000, sent=1000, ok=1000, attempts=1000, server_seen=1000, locust_seen=1000)
    of = replace(case(counts=counts, makespan_s=1000 / 1500), target=Target("http://x", server))
    machine = KnownMachine("2026-01-02", {"asyncio": 1_000.0})
    assert codes(of, machine=machine, processes=4, cores=cores) == expected

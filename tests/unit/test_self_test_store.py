"""A self-test is kept by machine and version, and later runs on this machine are warned by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.experiment.run import begin
from harness.measure.judge.known_machine import known_limits
from harness.measure.judge.verdict import exit_code
from harness.measure.record import self_test_file
from harness.measure.record.plan import Measured, read_measured, write_measured
from harness.measure.reduce.summary import summarize_run
from harness.measure.result import Case, Counts, Distribution, Load, Named, Quantile, Resources, Target
from harness.measure.self_test_result import KnownMachine, SelfTest
from tests.unit.recorded import plan, plan_case, steady, write_case
from tests.unit.self_test_samples import found, law

ENVIRONMENT = {"cpu_model": "a", "cpu_cores": 2, "os": "x", "python": "3.11", "libraries": {"paceline": "1.0"}}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def kept(**more: Any) -> tuple[SelfTest, Path]:
    """A self-test of this environment, stored."""
    made = found(machine=self_test_file.machine_of(ENVIRONMENT), version="1.0", **more)
    path = self_test_file.store(made)
    assert path is not None
    return made, path


def test_a_self_test_is_read_back_on_the_same_machine_by_the_same_version(state: Path) -> None:
    """Another processor, Python or version has a file of its own, or none."""
    made, path = kept()
    assert path.parent == state / "paceline" / "self-test"
    assert self_test_file.load(ENVIRONMENT) == made
    for other in ({"cpu_cores": 4}, {"python": "3.12"}, {"libraries": {"paceline": "2.0"}}):
        assert self_test_file.load({**ENVIRONMENT, **other}) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 3}'])
def test_a_file_that_cannot_be_read_is_no_self_test(content: bytes) -> None:
    """A run goes on without it."""
    _, path = kept()
    path.write_bytes(content)
    assert self_test_file.known_machine(ENVIRONMENT) is None


def test_a_file_of_another_format_or_machine_is_no_self_test() -> None:
    """Copied by hand, or written by an older paceline."""
    made, path = kept()
    for change in ({"schema_version": 0}, {"machine": {"cpu_model": "b"}}):
        path.write_bytes(msgspec.json.encode(msgspec.structs.replace(made, **change)))
        assert self_test_file.load(ENVIRONMENT) is None


def test_without_a_home_directory_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user that the password database lacks, as in some containers."""
    monkeypatch.delenv("XDG_STATE_HOME")

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert self_test_file.store(found()) is None
    assert self_test_file.load(ENVIRONMENT) is None


def test_later_runs_know_the_ceilings_and_the_largest_error_of_each_figure() -> None:
    """By percentile; the date is that of the measurement."""
    kept(laws=[law("constant", 0.02, 0.02, 0.021, 0.018), law("lognormal", 0.02, None, 0.0205)])
    known = self_test_file.known_machine(ENVIRONMENT)
    assert known is not None
    assert known.measured_on == "2023-11-14"
    assert known.ceilings_per_s == {"asyncio": 4000.0, "lean": 9000.0, "blocking": 3000.0}
    assert known.mock_ceiling_per_s == 12_000.0
    assert known.errors_s["service_time_s"] == {"p50": pytest.approx(0.001), "p99": pytest.approx(0.002)}


def test_each_transport_has_its_own_errors() -> None:
    """One that was not measured has the largest of all."""
    laws = [
        law("constant", 0.02, None, 0.021, transport="lean"),
        law("lognormal", 0.02, None, 0.0215, transport="lean"),
        law("constant", 0.02, None, 0.025, transport="asyncio"),
    ]
    kept(laws=laws)
    known = self_test_file.known_machine(ENVIRONMENT)
    assert known is not None
    found = {name: known.errors_of(name)["service_time_s"]["p50"] for name in ("lean", "asyncio", "blocking")}
    assert found == {"lean": pytest.approx(0.0015), "asyncio": pytest.approx(0.005), "blocking": pytest.approx(0.005)}


MACHINE = KnownMachine("2026-01-02", {"asyncio": 1000.0}, {"service_time_s": {"p50": 0.0004, "p99": 0.004}})


def case(p99_s: float = 0.1, rate: float = 100.0, **more: Any) -> Case:
    """A case that took ten seconds."""
    values: dict[str, Any] = {
        "counts": Counts(ok=1, attempts=round(10 * rate)),
        "load": Load("backlog"),
        "makespan_s": 10.0,
        "service_time_s": Distribution(n=300, p50=Quantile(p99_s / 2), p99=Quantile(p99_s)),
    }
    values |= {"target": Target("http://x"), **more}
    return Case(name="a", strategy=Named("sync"), task="similarity", **values)


def codes(of: Case, machine: KnownMachine = MACHINE, transport: str = "asyncio", processes: int = 1) -> list[str]:
    """The codes of the warnings."""
    return [code for code, _ in known_limits(of, machine, transport, processes)]


def test_a_rate_near_the_stored_ceiling_is_warned_of() -> None:
    """More than 70 % of the ceiling of all processes, unless the run's own ceiling says it already."""
    assert codes(case(rate=690)) == []
    assert codes(case(rate=710)) == ["known_ceiling"]
    assert codes(case(rate=710), processes=2) == []
    assert codes(case(rate=710), transport="blocking") == []
    assert codes(case(rate=710, resources=Resources(ceiling_share=0.8))) == []
    assert codes(case(rate=710, resources=Resources(ceiling_share=0.2))) == ["known_ceiling"]


def test_a_rate_near_the_mocks_own_ceiling_is_warned_of() -> None:
    """Only of the embedded mock: the speed of any other server is what is measured."""
    machine = KnownMachine("2026-01-02", mock_ceiling_per_s=1000.0)
    mock = Target("http://x", server="null")
    assert codes(case(rate=690, target=mock), machine) == []
    assert codes(case(rate=710, target=mock), machine) == ["known_mock_ceiling"]
    assert codes(case(rate=710), machine) == []


def test_an_error_that_is_large_beside_the_figures_is_warned_of() -> None:
    """4 ms are more than 5 % of 79 ms; the same percentile of the same figure counts."""
    assert codes(case(p99_s=0.081)) == []
    assert codes(case(p99_s=0.079)) == ["known_timing_error"]
    [(_, text)] = known_limits(case(p99_s=0.05), MACHINE, "asyncio", 1)
    assert "measured p99 of a known service time 4 ms wrong on 2026-01-02, 8 % of the 50 ms found here" in text


def test_the_error_of_the_transport_of_a_run_counts() -> None:
    """4 ms over aiohttp say nothing about a run over lean."""
    errors = {"lean": {"service_time_s": {"p99": 0.0005}}, "asyncio": MACHINE.errors_s}
    machine = KnownMachine("2026-01-02", {}, MACHINE.errors_s, None, errors)
    assert codes(case(p99_s=0.05), machine, "asyncio") == ["known_timing_error"]
    assert codes(case(p99_s=0.05), machine, "lean") == []


def test_the_latency_of_a_backlog_is_not_held_against_an_error() -> None:
    """It is the makespan; figures that a case lacks are left out too."""
    machine = KnownMachine("2026-01-02", {}, {"latency_s": {"p99": 1.0}, "ttft_s": {"p99": 1.0}})
    latency = Distribution(n=300, p99=Quantile(0.2))
    assert codes(case(latency_s=latency), machine) == []
    assert codes(case(latency_s=latency, load=Load("constant")), machine) == ["known_timing_error"]


def test_a_run_is_valid_with_a_warning(tmp_path: Path) -> None:
    """From measured.json of the run; a report of another machine says the same."""
    write_case(tmp_path, "sync", steady(400, service_s=0.05))
    plan(tmp_path, plan_case("sync"))
    write_measured(Measured(Target("http://127.0.0.1:1"), machine=MACHINE), tmp_path)
    result = summarize_run(tmp_path)
    assert [reason.code for reason in result.verdict.reasons] == ["known_timing_error"]
    assert (result.verdict.status, exit_code(result)) == ("valid", 0)


@pytest.mark.parametrize("simulated", [False, True])
def test_a_run_reads_the_self_test_of_its_machine_unless_it_is_simulated(tmp_path: Path, simulated: bool) -> None:
    """Virtual time knows no machine."""
    kept()
    planned = msgspec.structs.replace(plan(tmp_path), environment=ENVIRONMENT, simulated=simulated)
    run = type("Run", (), {"plan": planned, "directory": tmp_path})()
    server = type("Server", (), {"url": "http://x", "profile": None, "note": None})()
    begin(run, server)
    assert (read_measured(tmp_path).machine is None) is simulated

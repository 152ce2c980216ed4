"""The loop over the cases of a run: what it writes, when, and how often; played in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.client.errors import UsageError
from harness.experiment.child_process import TrialEnd, Watch
from harness.experiment.prepare import Run, prepare
from harness.experiment.run import execute
from harness.experiment.settings import RunSettings
from harness.experiment.simulate.compare import VirtualTime
from harness.experiment.spec import Trial
from harness.measure.record.files import digest, find
from harness.measure.record.plan import PlanCase, read_facts, read_measured, read_plan
from harness.measure.result import RunResult, decode

PROFILE = "# quick\n[service]\nbase_s = 0.01\n"


class Spied(VirtualTime):
    """Calls `before` ahead of each trial."""

    def __init__(self, run: Run, before: Callable[[Trial], None]) -> None:
        super().__init__(run)
        self._before = before

    def play(self, trial: Trial, watch: Watch) -> TrialEnd:
        self._before(trial)
        return super().play(trial, watch)


def prepared(tmp_path: Path, **more: Any) -> Run:
    (tmp_path / "quick.toml").write_text(PROFILE)
    given = {"strategies": ("sync", "queue-stream:concurrency=4"), "server": str(tmp_path / "quick.toml"), "items": 20}
    return prepare(RunSettings(**given, out=tmp_path / "run", simulated=True, **more))  # type: ignore[arg-type] # as above


def played(run: Run, before: Callable[[Trial], None] = lambda trial: None) -> tuple[RunResult, bool, list[str]]:
    events: list[str] = []
    result, interrupted = execute(run, lambda event, facts: events.append(event), Spied(run, before))
    return result, interrupted, [event for event in events if event != "status"]


def test_the_plan_is_written_once_and_whole_before_the_first_case(tmp_path: Path) -> None:
    run = prepared(tmp_path, repeats=2)
    plans: list[tuple[bytes, int]] = []

    def look(trial: Trial) -> None:
        path = run.directory / "plan.json"
        plans.append((path.read_bytes(), path.stat().st_ino))

    result, interrupted, events = played(run, look)
    look(run.cases[0].trial("", run.records))
    assert len(set(plans)) == 1
    assert len(plans) == 5
    assert not interrupted
    assert events == ["target", *["case", "case_done"] * 4]
    assert read_plan(run.directory).cases == [PlanCase(**msgspec.structs.asdict(case)) for case in run.cases]
    assert decode((run.directory / "result.json").read_bytes()) == result
    assert not list(run.directory.glob("*.part"))


def test_repeats_are_interleaved(tmp_path: Path) -> None:
    order: list[tuple[str, int]] = []
    played(prepared(tmp_path, repeats=2), lambda trial: order.append((trial.name, trial.repeat)))
    rounds = [order[:2], order[2:]]
    names = ["sync", "queue-stream:concurrency=4"]
    assert [sorted(pair) for pair in rounds] == [sorted((name, repeat) for name in names) for repeat in (0, 1)]
    # Each strategy is first once.
    assert rounds[0][0][0] != rounds[1][0][0]


def test_what_is_measured_lies_beside_the_plan(tmp_path: Path) -> None:
    run = prepared(tmp_path)
    result, _, _ = played(run)
    measured = read_measured(run.directory)
    assert measured.target.url == "simulated:"
    assert measured.ceilings == {}
    facts = read_facts(run.directory, "sync", 0)
    assert facts is not None
    assert (facts.exit_code, facts.server_seen, facts.interrupted) == (0, 20, None)
    assert facts.records_sha256 == digest(find(run.records)["sync"][0])
    assert result.environment["records_sha256"]["sync/0"] == facts.records_sha256
    assert {case.target for case in result.cases} == {measured.target}


@pytest.mark.parametrize(
    ("more", "duration_s"), [({}, None), ({"load": "constant", "rate": 10.0, "duration": 2.0}, 2.0)]
)
def test_a_backlog_has_no_duration_and_arrivals_have_one(
    more: dict[str, Any], duration_s: float | None, tmp_path: Path
) -> None:
    result, _, _ = played(prepared(tmp_path, **more))
    assert [case.load.duration_s for case in result.cases] == [duration_s, duration_s]


def test_a_stop_by_the_user_ends_the_loop_and_leaves_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    run = prepared(tmp_path)
    order: list[str] = []

    def before(trial: Trial) -> None:
        order.append(trial.name)
        monkeypatch.setattr("harness.experiment.simulate.compare.play", stop)

    result, interrupted, _ = played(run, before)
    assert interrupted
    assert order == ["sync"]
    facts = read_facts(run.directory, "sync", 0)
    assert facts is not None
    assert facts.interrupted == "stopped by the user"
    assert (run.directory / "result.json").exists()
    assert result.verdict.status != "valid"


def test_the_schedule_of_a_run_is_computed_once_before_it_is_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.experiment import cases as module

    calls: list[str] = []
    compute = module.compute
    monkeypatch.setattr(module, "compute", lambda *given: calls.append("prepare") or compute(*given))
    monkeypatch.setattr("harness.experiment.spec.compute", lambda *given: calls.append("player") or compute(*given))
    played(prepared(tmp_path, load="constant", rate=10.0, duration=2.0, repeats=2))
    assert calls == ["prepare", *["player"] * 4], "each player computes its own: offsets do not cross processes"


def test_two_runs_in_one_directory_are_refused_while_the_first_is_there(tmp_path: Path) -> None:
    first = prepared(tmp_path)
    with pytest.raises(UsageError, match=r"--out .*run: another run is writing it"):
        prepared(tmp_path, overwrite=True)
    assert first.records.is_dir()
    played(first)
    assert prepared(tmp_path, overwrite=True).records.is_dir()

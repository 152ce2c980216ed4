"""The command of a capacity search in virtual time: records, answer, report, exit codes, interruption."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from harness.cli.main import cli
from harness.experiment.capacity import CapacitySettings, CaseMaker, prepare_capacity
from harness.experiment.child_process import TrialEnd, Watch
from harness.experiment.run import execute
from harness.experiment.settings import RunSettings
from harness.experiment.simulate.compare import VirtualTime
from harness.experiment.spec import Trial
from harness.measure.judge.capacity.probes import requests_needed
from harness.measure.judge.verdict import exit_code
from harness.measure.record.plan import read_plan
from harness.measure.reduce.summary import summarize_run
from harness.measure.result import RunResult, decode
from scenarios.backlog import Backlog

SERVER = "# Two workers of 20 ms: 100/s.\n[service]\nbase_s = 0.02\n[capacity]\nworkers = 2\nqueue_max = 1000\n"
QUICK = ["--trial", "2s", "--warmup", "200ms", "--confirm", "4s", "--quiet", "--trials-max", "16"]


def called(
    tmp_path: Path, *more: str, slo: str = "p95<100ms,errors<1%", profile: str = SERVER, start: int = 60
) -> Result:
    (tmp_path / "mine.toml").write_text(profile)
    given = [
        "simulate",
        "capacity",
        "--slo",
        slo,
        "--server",
        str(tmp_path / "mine.toml"),
        "--out",
        str(tmp_path / "run"),
    ]
    return CliRunner().invoke(cli, [*given, *QUICK, "--start", str(start), *more], standalone_mode=False)


def result_of(tmp_path: Path) -> RunResult:
    return decode((tmp_path / "run" / "result.json").read_bytes())


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A search by concurrency and by rate, with a report: its folder, and what the command did."""
    folder = tmp_path_factory.mktemp("both")
    return folder, called(folder, "--width", "60%")


def test_both_quantities_are_answered_and_reported(both: tuple[Path, Result]) -> None:
    folder, done = both
    assert done.return_value == 0, done.output
    result = result_of(folder)
    assert result.capacity is not None
    concurrency, rate = result.capacity.answers
    assert concurrency.low is not None
    assert concurrency.high is not None
    # The ninth call on two workers waits for five services of 20 ms.
    assert concurrency.low <= 8 < concurrency.high <= 13
    assert rate.low is not None
    assert rate.high is not None
    assert 50 < rate.low < 100 < rate.high * 1.05
    assert concurrency.confirmed
    assert rate.confirmed
    assert f"\n  Set the concurrency to at most {concurrency.low:g}.\n" in done.output
    assert "\n  Plan for at most " in done.output
    assert result.headline.startswith("By concurrency: holds service_p95<100ms, errors<1% up to 8–")
    report = (folder / "run" / "report.md").read_text()
    assert "## Capacity by rate" in report
    page = (folder / "run" / "report.html").read_text()
    assert "Capacity by concurrency" in page
    assert "What set the pace" not in page
    assert (folder / "run" / "charts" / "capacity.png").exists()
    assert [path.name for path in (folder / "run" / "charts").iterdir()] == ["capacity.png"]


@pytest.mark.no_cover
def test_the_records_give_the_answer_again(both: tuple[Path, Result], tmp_path: Path) -> None:
    shutil.copytree(both[0] / "run", tmp_path / "run")
    kept = result_of(tmp_path)
    assert summarize_run(tmp_path / "run") == kept
    again = CliRunner().invoke(cli, ["report", str(tmp_path / "run"), "--no-charts", "--quiet"], standalone_mode=False)
    assert again.return_value == 0
    assert result_of(tmp_path) == kept
    plan = read_plan(tmp_path / "run")
    assert plan.kind == "capacity"
    assert plan.capacity is not None
    by_rate = [case for case in plan.cases if case.name.startswith("rate")]
    assert by_rate
    assert all(len(set(case.schedules)) == case.repeats for case in by_rate), "each trial has arrivals of its own"


@pytest.mark.no_cover
def test_an_slo_that_always_fails_ends_with_exit_code_1(tmp_path: Path) -> None:
    done = called(tmp_path, "--by", "concurrency", "--no-report", slo="p95<10ms")
    assert done.return_value == 1
    capacity = result_of(tmp_path).capacity
    assert capacity is not None
    assert capacity.answers[0].ended == "fails"
    assert "the lowest load tried" in capacity.answers[0].text


def test_a_spent_budget_ends_with_exit_code_5(tmp_path: Path) -> None:
    done = called(tmp_path, "--by", "rate", "--no-report", "--probes", "1")
    assert done.return_value == 5
    assert "the budget of probes or seconds was spent first" in result_of(tmp_path).headline


@pytest.mark.parametrize(
    ("more", "slo", "said"),
    [
        ([], "p99>5ms", "takes <"),
        (["--width", "0.001"], "p99<1s", "--width 0.001: must be between"),
        (["--trials", "20"], "p99<1s", "--trials-max 16: must be at least trials=20"),
        (["--by", "speed"], "p99<1s", "'speed' is not one of"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_written(
    more: list[str], slo: str, said: str, tmp_path: Path
) -> None:
    done = called(tmp_path, *more, slo=slo)
    assert said in str(done.exception)
    assert not (tmp_path / "run").exists()


class Stopped(VirtualTime):
    """Ctrl-C at the n-th trial."""

    def __init__(self, run: Any, after: int) -> None:
        super().__init__(run)
        self._left = after

    def play(self, trial: Trial, watch: Watch) -> TrialEnd:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return super().play(trial, watch)


def test_ctrl_c_leaves_the_bounds_so_far_marked(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(SERVER)
    settings = RunSettings(
        strategies=("queue-stream",),
        server=str(tmp_path / "mine.toml"),
        out=tmp_path / "run",
        simulated=True,
        calibrate=False,
    )
    wanted = CapacitySettings(slo=("p95<100ms",), by="rate", start=20.0, trial_s=2.0, warmup_s=0.2)
    run, _order = prepare_capacity(settings, wanted)
    result, interrupted = execute(run, lambda event, facts: None, Stopped(run, 9))
    assert interrupted
    assert result.capacity is not None
    (answer,) = result.capacity.answers
    assert answer.ended == "stopped"
    assert answer.low == 40.0
    assert result.verdict.status == "inconclusive"
    assert exit_code(result) == 5


def test_a_trial_that_crashes_is_played_again_and_then_invalid(tmp_path: Path) -> None:
    """Nothing is recorded at 40/s: it is no bound, and the answer says why."""

    class Crashes(VirtualTime):
        def play(self, trial: Trial, watch: Watch) -> TrialEnd:
            if trial.name == "rate 40/s":
                return TrialEnd(1, False, Path("log"))
            return super().play(trial, watch)

    (tmp_path / "mine.toml").write_text(SERVER)
    settings = RunSettings(
        strategies=("queue-stream",),
        server=str(tmp_path / "mine.toml"),
        out=tmp_path / "run",
        simulated=True,
        calibrate=False,
    )
    wanted = CapacitySettings(slo=("p95<100ms",), by="rate", start=20.0, trial_s=2.0, warmup_s=0.2, confirm_s=0.0)
    run, order = prepare_capacity(settings, wanted)
    result, _ = execute(run, lambda event, facts: None, Crashes(run))
    assert result.capacity is not None
    (answer,) = result.capacity.answers
    assert answer.high is None
    assert answer.low is not None
    assert 30 < answer.low < 40
    crashed = next(one for one in order.probes() if one.case == "rate 40/s")
    assert (crashed.states, crashed.trials_invalid) == (["invalid"], 3)
    assert exit_code(result) == 4


def test_the_result_is_json_with_every_probe(both: tuple[Path, Result]) -> None:
    data = json.loads((both[0] / "run" / "result.json").read_text())["capacity"]
    assert {"by", "slo", "ended", "low", "high", "confirmed", "text", "notes"} == set(data["answers"][0])
    assert all(probe["figures"] and probe["states"] for probe in data["probes"])
    assert msgspec.json.decode(msgspec.json.encode(data)) == data


def test_a_server_faster_than_expected_gets_a_longer_backlog(tmp_path: Path) -> None:
    """The first backlog ends within the warm-up, which must not count as a failure."""
    fast = SERVER.replace("0.02", "0.002")
    done = called(tmp_path, "--by", "concurrency", "--no-report", "--probes", "2", slo="p95<9ms", profile=fast)
    assert done.return_value == 5
    capacity = result_of(tmp_path).capacity
    assert capacity is not None
    assert capacity.probes[0].trials_invalid == 1
    assert [probe.states for probe in capacity.probes] == [["passed"], ["passed"]]


@pytest.mark.no_cover
def test_a_server_that_refuses_everything_at_once_gets_no_longer_backlog(tmp_path: Path) -> None:
    """Its failures are the answer; a backlog as long as they are quick would have billions of items."""
    refuses = SERVER + '[[faults]]\nkind = "status"\nstatus = 500\n'
    done = called(tmp_path, "--no-report", profile=refuses, start=2)
    assert done.return_value == 1, done.output
    found = result_of(tmp_path)
    assert found.capacity is not None
    assert {one.low for one in found.capacity.answers} == {None}
    assert max(case.counts.scheduled for case in found.cases) < 100_000


def test_a_backlog_holds_what_an_interval_needs_besides_the_warm_up(tmp_path: Path) -> None:
    """At 30/s and two seconds of warm-up, sixty items of a trial do not count."""
    (tmp_path / "mine.toml").write_text(SERVER)
    settings = RunSettings(strategies=("queue-stream",), server=str(tmp_path / "mine.toml"), simulated=True)
    plan = CapacitySettings(slo=("p99<500ms",), by="concurrency", trial_s=1.0).plan()
    made = CaseMaker(settings, Backlog, plan).case("concurrency", 8, plan.trial_s, 30.0)
    needed = requests_needed(plan.tiers, plan.trials) / plan.trials
    assert made.items is not None
    assert made.items - 30 * plan.warmup_s >= needed

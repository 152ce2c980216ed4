"""The case runner in a thread of its own against a real mock: conservation, drain, bad input."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from harness.base.clock import clock
from harness.client.layer_settings import LayerSettings
from harness.client.types import Outcome
from harness.experiment.application import ClientApplication
from harness.experiment.case_runner import CaseRunner
from harness.experiment.spec import Trial
from harness.measure.record.files import find
from harness.measure.record.recorder import Recorder
from harness.measure.record.rows_file import End, read
from harness.measure.result import Named
from tests.processes import FAULTY, mock, spec

pytestmark = pytest.mark.slow


def play(of: Trial, stop_after_s: float | None = None, users: int = 1) -> tuple[CaseRunner, list[ClientApplication]]:
    """Run a case to its end, or stop every application after a while."""
    runner = CaseRunner(of)
    thread = threading.Thread(target=runner.run)
    thread.start()
    applications = [runner.join(slot, users) for slot in range(users)]
    until(lambda: all(a.ready or a.ended for a in applications))
    runner.go()
    if stop_after_s is not None:
        time.sleep(stop_after_s)
        for application in applications:
            runner.leave(application, "the test had enough")
    until(lambda: runner.complete)
    runner.finish()
    thread.join(10)
    assert runner.finished
    return runner, applications


def until(true: Any, timeout_s: float = 20.0) -> None:
    """Wait for it."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def end_of(runner: CaseRunner) -> End:
    """What the runner said at its end."""
    assert runner.end is not None
    return runner.end


@pytest.mark.parametrize(
    "strategy", ["sync", "threads:workers=4", "unbounded", "batches:size=20", "queue-stream", "adaptive"]
)
def test_nothing_is_lost_on_a_server_that_fails(strategy: str, tmp_path: Path) -> None:
    """scheduled = recorded, exchanges = what the server saw, and the failures are those that were injected."""
    with mock(FAULTY, tmp_path) as server:
        runner, _ = play(spec(server.url, tmp_path / "r", strategy))
        seen = server.seen()
    end = end_of(runner)
    _, rows = read(find(tmp_path / "r")["case"][0][0].requests)
    assert (end.scheduled, end.pulled, end.recorded, end.not_sent, len(rows)) == (200, 200, 200, 0, 200)
    assert sorted(rows["index"].tolist()) == list(range(200))
    assert int(rows["attempts"].sum()) == seen
    assert {Outcome(code).name for code in rows["outcome"]} >= {"ok", "server_error", "rejected", "bad_response"}


def test_several_applications_share_the_load(tmp_path: Path) -> None:
    """Every item once, in whichever application."""
    with mock() as server:
        runner, _ = play(spec(server.url, tmp_path / "r", items=99), users=3)
    _, rows = read(find(tmp_path / "r")["case"][0][0].requests)
    assert sorted(rows["index"].tolist()) == list(range(99))
    assert {int(user): int((rows["user"] == user).sum()) for user in set(rows["user"])} == {0: 33, 1: 33, 2: 33}
    assert end_of(runner).scheduled == 99


def test_a_stop_drains_what_is_in_flight_and_sends_nothing_new(tmp_path: Path) -> None:
    """Requests of 0.12 s are finished after the stop; the rest of the backlog is not sent, and counted."""
    with mock("constant-120ms") as server:
        runner, applications = play(spec(server.url, tmp_path / "r", "queue-stream:concurrency=10"), stop_after_s=0.2)
        seen = server.seen()
    end = end_of(runner)
    _, rows = read(find(tmp_path / "r")["case"][0][0].requests)
    sent = rows[rows["first_sent"] >= 0]
    assert set(sent["outcome"].tolist()) == {Outcome.ok}
    assert 10 <= len(sent) == (seen or 0) < 100
    assert end.not_sent + end.recorded == end.scheduled == 200
    assert end.interrupted == "the test had enough"
    assert not applications[0].complete


def test_what_outlives_the_drain_is_unfinished(tmp_path: Path) -> None:
    """A server too slow for the drain: cut, recorded as such, and counted."""
    with mock("# slow\n[service]\nbase_s = 5.0\n", tmp_path) as server:
        case = spec(server.url, tmp_path / "r", "unbounded", items=5, drain_s=0.3)
        runner, _ = play(case, stop_after_s=0.2)
    _, rows = read(find(tmp_path / "r")["case"][0][0].requests)
    assert rows["outcome"].tolist() == [Outcome.unfinished] * 5
    assert end_of(runner).recorded == 5


def test_arrivals_end_by_themselves_and_are_on_time(tmp_path: Path) -> None:
    """Every arrival of the schedule is given out, none early."""
    with mock() as server:
        case = spec(
            server.url, tmp_path / "r", items=None, load=Named("poisson", {"rate_per_s": 100.0}), duration_s=1.0
        )
        runner, _ = play(case)
    end = end_of(runner)
    _, rows = read(find(tmp_path / "r")["case"][0][0].requests)
    assert end.scheduled == end.recorded == len(rows) == len(case.build_schedule())
    lag_ms = sorted(((rows["fired"] - rows["due"]) / 1e6).tolist())
    assert lag_ms[0] >= 0
    assert lag_ms[len(lag_ms) // 2] < 50.0, "how late exactly is for the verdict and the benchmarks to say"


def test_a_machine_that_stalls_at_the_start_drops_no_arrival(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was due before the application could begin is late, not gone."""
    monkeypatch.setattr("gc.collect", lambda: time.sleep(0.5))
    with mock() as server:
        load = Named("constant", {"rate_per_s": 50.0})
        runner, _ = play(spec(server.url, tmp_path / "r", items=None, load=load, duration_s=0.6))
    assert end_of(runner).scheduled == end_of(runner).recorded == 30
    _, rows = read(find(tmp_path / "r")["case"][0][0].requests)
    assert sorted(rows["index"].tolist()) == list(range(30))


def test_a_stop_before_the_next_arrival_is_noticed_at_once(tmp_path: Path) -> None:
    """Nobody waits for an item that is due in an hour."""
    with mock() as server:
        load = Named("constant", {"rate_per_s": 0.001})
        case = spec(server.url, tmp_path / "r", items=None, load=load, duration_s=3600.0)
        start = time.monotonic()
        runner, _ = play(case, stop_after_s=0.2)
    assert time.monotonic() - start < 60
    assert end_of(runner).scheduled == 1


def test_layers_are_put_around_every_request(tmp_path: Path) -> None:
    """Retries are attempts of the same request, a rate limit paces, a deadline cuts."""
    with mock(
        "# half\n[service]\nbase_s = 0.001\n[[faults]]\nkind='status'\nstatus=500\nprobability=0.5\n", tmp_path
    ) as s:
        play(spec(s.url, tmp_path / "r", items=60, layers=LayerSettings(retries=8)))
        _, rows = read(find(tmp_path / "r")["case"][0][0].requests)
        assert rows["outcome"].tolist() == [Outcome.ok] * 60
        assert int(rows["attempts"].sum()) == (s.seen() or 0) > 80
        paced = spec(s.url, tmp_path / "p", items=11, layers=LayerSettings(rate_limit_per_s=50.0))
        assert end_of(play(paced)[0]).duration_s >= 0.2
        late = spec(
            s.url, tmp_path / "d", "sync", items=50, layers=LayerSettings(deadline_s=0.01, rate_limit_per_s=100.0)
        )
        play(late)
        _, rows = read(find(tmp_path / "d")["case"][0][0].requests)
        assert Outcome.not_sent in rows["outcome"].tolist()


def test_a_missing_input_is_one_line_not_a_crash(tmp_path: Path) -> None:
    """The runner reports it; the case has no data."""
    with mock() as server:
        runner, _ = play(spec(server.url, tmp_path / "r", input=str(tmp_path / "none.jsonl"), items=None))
    assert "No such file" in str(runner.error)
    assert "No such file" in str(end_of(runner).error)


def test_bad_lines_reach_the_end(tmp_path: Path) -> None:
    """Their number, and the first of them."""
    path = tmp_path / "p.jsonl"
    path.write_text('{"text1": "a", "text2": "b"}\n{"text1": "a"}\n')
    with mock() as server:
        runner, _ = play(spec(server.url, tmp_path / "r", input=str(path), items=None))
    end = end_of(runner)
    assert (end.recorded, end.bad_lines) == (1, 1)
    assert str(end.first_bad_line).startswith("line 2: ")


def test_finish_before_go_and_leave_before_go_end_cleanly(tmp_path: Path) -> None:
    """Nothing was given out, nothing is recorded, nothing hangs."""
    with mock() as server:
        runner = CaseRunner(spec(server.url, tmp_path / "r"))
        thread = threading.Thread(target=runner.run)
        thread.start()
        application = runner.join(0, 1)
        until(lambda: application.ready)
        runner.leave(application)
        until(lambda: application.ended)
        runner.finish()
        thread.join(5)
    assert runner.finished
    assert runner.end is None


def test_bad_lines_of_several_applications_are_counted_once_each(tmp_path: Path) -> None:
    """Each reads its own share of the file, and all of it again when it has too few lines."""
    path = tmp_path / "p.jsonl"
    path.write_text('{"text1": "a", "text2": "b"}\n{"text1": "a"}\n' * 3)
    with mock() as server:
        runner, _ = play(spec(server.url, tmp_path / "r", input=str(path), items=20), users=2)
    end = end_of(runner)
    assert (end.recorded, end.bad_lines) == (10, 3)
    assert str(end.first_bad_line).startswith("line 2: ")


def test_where_nothing_can_be_recorded_nothing_is_sent(tmp_path: Path) -> None:
    """The applications end with the reason in a line; nobody waits for a load that cannot begin."""
    with mock() as server:
        runner = CaseRunner(spec(server.url, tmp_path / "r"))
        (tmp_path / "r").rmdir()
        thread = threading.Thread(target=runner.run)
        thread.start()
        application = runner.join(0, 1)
        until(lambda: application.ready)
        runner.go()
        until(lambda: runner.complete)
        runner.finish()
        thread.join(5)
        assert server.seen() == 0
    assert runner.error == f"{tmp_path / 'r'}: cannot record: No such file or directory"
    assert runner.end is None


def test_after_the_last_arrival_what_never_ends_is_cut(tmp_path: Path) -> None:
    """Nobody stops the case: the drain counts from the last due time."""
    with mock("# never\n[service]\nbase_s = 60.0\n", tmp_path) as server:
        load = Named("constant", {"rate_per_s": 20.0})
        case = spec(server.url, tmp_path / "r", items=None, load=load, duration_s=0.5, drain_s=0.3)
        start = time.monotonic()
        runner, _ = play(case)
    assert time.monotonic() - start < 30, "the answers would take 60 s"
    end = end_of(runner)
    assert (end.scheduled, end.recorded, end.not_sent, end.interrupted) == (10, 8, 2, None)  # two stood in the queue
    _, rows = read(find(tmp_path / "r")["case"][0][0].requests)
    assert set(rows["outcome"].tolist()) == {Outcome.unfinished}


def test_an_application_that_joins_later_begins_with_the_present(tmp_path: Path) -> None:
    """As under a load shape: its share of what was due before it came is not sent, and the result counts it so."""
    with mock() as server:
        load = Named("constant", {"rate_per_s": 50.0})
        runner = CaseRunner(spec(server.url, tmp_path / "r", items=None, load=load, duration_s=1.0))
        thread = threading.Thread(target=runner.run)
        thread.start()
        first = runner.join(0, 2)
        until(lambda: first.ready)
        runner.go()
        time.sleep(0.5)
        second = runner.join(1, 2)
        until(lambda: second.ready and runner.complete)
        runner.finish()
        thread.join(5)
        seen = server.seen()
    end = end_of(runner)
    _, rows = read(find(tmp_path / "r")["case"][0][0].requests)
    assert end.scheduled == end.recorded == len(rows) == seen
    assert int((rows["user"] == 0).sum()) == 25
    assert 5 <= int((rows["user"] == 1).sum()) <= 13
    assert int(rows["due"][rows["user"] == 1].min()) > 0.4e9


def test_a_ticker_that_fails_ends_the_case_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ticks nothing would be flushed, nor any drain end."""

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no clock")

    with mock("# slow\n[service]\nbase_s = 0.05\n", tmp_path) as server:
        runner = CaseRunner(spec(server.url, tmp_path / "r", "queue-stream:concurrency=2", items=100_000))
        thread = threading.Thread(target=runner.run)
        thread.start()
        application = runner.join(0, 1)
        until(lambda: application.ready)
        monkeypatch.setattr("harness.measure.record.recorder.Recorder.tick", broken)
        runner.go()
        until(lambda: runner.complete)
        runner.finish()
        thread.join(10)
    end = end_of(runner)
    assert (end.error, end.interrupted) == ("its ticker failed: RuntimeError: no clock", "the client failed")
    _, rows = read(find(tmp_path / "r")["case"][0][0].requests)
    assert end.recorded == len(rows)


def test_the_garbage_is_collected_before_the_load_s_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes up to 0.2 s on a busy machine: after the zero of a backlog it would count as time of the server."""
    noted: dict[str, float] = {}

    def collected() -> int:
        noted["collected"] = clock()()
        return 0

    def recorder(*given: Any, **named: Any) -> Recorder:
        noted["zero"] = named["t0"]
        return Recorder(*given, **named)

    monkeypatch.setattr("harness.experiment.case_runner.gc.collect", collected)
    monkeypatch.setattr("harness.experiment.case_runner.Recorder", recorder)
    with mock(FAULTY, tmp_path) as server:
        play(spec(server.url, tmp_path / "r", items=5))
    assert noted["collected"] <= noted["zero"]

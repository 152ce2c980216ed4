"""What the live page knows of a run while it is recorded, and that it ends as result.json."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.client.types import Outcome
from harness.experiment.prepare import prepare
from harness.experiment.run import execute
from harness.experiment.settings import RunSettings
from harness.experiment.simulate.compare import VirtualTime
from harness.live.case_so_far import CaseSoFar
from harness.live.exposition import render
from harness.live.page_state import PageState
from harness.live.peak import Peak
from harness.live.run_board import RunBoard
from harness.live.series import Series
from harness.live.spread import BOUNDS_S, Spread
from harness.live.tail import FileTail, Fresh, TrialTail
from harness.measure.judge.case_row import figures_row
from harness.measure.record.plan import Measured, PlanCase
from harness.measure.record.rows_file import REQUEST_DTYPE, TIMELINE_DTYPE
from harness.measure.result import Named, RunResult
from tests.contract.test_metrics import Exposition
from tests.unit.recorded import Exchange, record, recorder
from tests.unit.test_run_loop import PROFILE

EXCHANGES = [Exchange(0.01 * n, 0.01 * n, 0.01 * n + 0.02) for n in range(40)]


STRATEGIES = ("sync", "queue-stream:concurrency=4")


def played(tmp_path: Path, items: int = 20) -> tuple[RunBoard, RunResult, list[PageState]]:
    """A board beside a run in virtual time: the board, the result, and the state after each event."""
    (tmp_path / "quick.toml").write_text(PROFILE)
    settings = RunSettings(STRATEGIES, server=str(tmp_path / "quick.toml"), items=items, simulated=True)
    run = prepare(replace(settings, out=tmp_path / "run"))
    states: list[PageState] = []
    board = RunBoard("1", "paceline <b>run</b>", "paceline run")

    def progress(event: str, facts: dict[str, Any]) -> None:
        board.on(event, {**facts, "repeat": 0})
        if event != "status":
            states.append(board.state())

    result, _ = execute(run, progress, VirtualTime(run))
    return board, result, states


def test_a_file_is_read_while_it_grows_each_row_once(tmp_path: Path) -> None:
    """A frame that is not whole yet waits for the next reading."""
    into = recorder(tmp_path)
    path = into.paths.requests
    tail, seen = FileTail(path), []
    for part in range(4):
        record(into, EXCHANGES[10 * part : 10 * part + 10], 10 * part)
        into.flush()
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) - (7 if part % 2 else 0)])
        seen += [row["index"] for rows in tail.read() for row in rows]
        path.write_bytes(whole)
    seen += [row["index"] for rows in tail.read() for row in rows]
    assert seen == list(range(40))


def test_a_file_that_is_not_there_or_has_no_header_yet_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "x.requests"
    tail = FileTail(path)
    assert list(tail.read()) == []
    path.write_bytes(b"paceline-rec")
    assert list(tail.read()) == []


def test_the_processes_of_a_trial_share_one_zero_and_other_trials_are_left_alone(tmp_path: Path) -> None:
    first, second = recorder(tmp_path, process=0), recorder(tmp_path, process=1, t0_unix_s=5e8 + 0.5)
    other = recorder(tmp_path, repeat=1)
    for into in (first, second, other):
        record(into, EXCHANGES[:5])
        into.flush()
    fresh = list(TrialTail(tmp_path / "records", "sync", 0).read())
    assert [(one.process, len(one.rows), round(one.shift_s, 3)) for one in fresh] == [(0, 5, 0.0), (1, 5, 0.5)]


def test_tokens_belong_to_their_requests_however_the_files_grow(tmp_path: Path) -> None:
    """A stream of n events without the server's count has n tokens; other requests have none."""
    into = recorder(tmp_path)
    tail, output = TrialTail(tmp_path / "records", "sync", 0), []
    case = CaseSoFar(PlanCase("sync", strategy=Named("sync"), tasks=[]))
    for part in range(3):
        chunks = tuple(0.01 * (1 + k) for k in range(part + 2))
        record(into, [Exchange(0.0, 0.0, 0.2, chunks=chunks), Exchange(0.0, 0.0, 0.2)], 2 * part)
        # Tokens are on disk before their request.
        into._tokens.flush()
        if part != 1:
            into.flush()
            for fresh in tail.read():
                output += fresh.output.tolist()
                case.add(fresh)
    assert output == [2, -1, 3, -1, 4, -1]
    assert (case.output_tokens, case.spreads["tpot_s"].n) == (9, 3)
    assert case.spreads["tpot_s"].max_s == pytest.approx(0.01, abs=1e-6)
    assert case.case(Measured()).tokens.per_s.output == pytest.approx(9 / 0.2)  # type: ignore[union-attr] # there are


def test_a_spread_is_within_one_percent_and_its_buckets_are_exact() -> None:
    """Of 20,000 lognormal times; a percentile of too few values is none."""
    rng = random.Random(1)
    values = np.array([int(rng.lognormvariate(0, 1.5) * 5e7) for _ in range(20_000)])
    spread = Spread()
    for part in np.array_split(values, 7):
        spread.add(part)
    ordered = np.sort(values)
    for name, p in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        exact = float(ordered[math.ceil(p * len(ordered)) - 1]) / 1e9
        assert spread.quantile(name) == pytest.approx(exact, rel=0.01)
    assert spread.cumulative()[:-1] == [int((values <= bound * 1e9).sum()) for bound in BOUNDS_S]
    assert spread.cumulative()[-1] == spread.n == len(values)
    few = Spread()
    few.add(values[:298])
    assert few.quantile("p99") is None
    assert few.distribution().p50.value is not None


def test_a_second_becomes_a_point_when_its_records_are_complete() -> None:
    rows = np.zeros(30, REQUEST_DTYPE)
    rows["done"] = (np.arange(30) * 0.1 * 1e9).astype(np.int64)
    rows["due"] = rows["done"] - 5_000_000
    rows["outcome"][:3] = Outcome.timed_out
    ticks = np.zeros(60, TIMELINE_DTYPE)
    ticks["t"], ticks["in_flight"], ticks["limit"] = np.arange(60) * 0.05, 4, 8
    ticks["cpu"] = ticks["t"] * 0.25
    series = Series(backlog=False)
    series.add_rows(rows, np.full(30, 2), 0.0)
    series.add_ticks(0, ticks, 0.0)
    series.settle()
    first, second = series.points
    assert (first.ok, first.failed, second.ok, second.failed) == (7, 3, 10, 0)
    assert (first.tokens, second.tokens) == (20, 20)
    assert (first.in_flight, first.limit, second.p50_s, second.p99_s) == (4.0, 8.0, 0.005, None)
    assert second.cpu_share == pytest.approx(0.25)


def test_counts_add_up_over_repeats_and_their_series_begins_again() -> None:
    plan = PlanCase("x", strategy=Named("sync"), tasks=[])
    case = CaseSoFar(plan)
    rows = np.zeros(10, REQUEST_DTYPE)
    rows["done"] = 1_000_000_000
    for repeat in range(2):
        case.begin(repeat)
        case._rows(rows, np.full(10, 5), 0.0)
        assert len(case.series.points) == 0
    assert (case.rows, case.ok, case.output_tokens) == (20, 20, 100)


def test_the_most_in_flight_is_that_of_all_processes_together() -> None:
    case = CaseSoFar(PlanCase("x", strategy=Named("sync"), tasks=[]))
    case.begin(0)
    for process in range(4):
        ticks = np.zeros(40, TIMELINE_DTYPE)
        ticks["t"], ticks["in_flight"] = np.arange(40) * 0.05 + 0.01 * process, 10
        # In blocks that end within a window.
        for part in np.array_split(ticks, 3):
            case.add(Fresh(process, np.zeros(0, REQUEST_DTYPE), np.zeros(0), part, -0.01 * process))
    found = case.case(Measured()).in_flight
    assert (found.mean, found.max) == (40.0, 40)


def test_peaks_of_processes_at_different_times_are_not_added() -> None:
    peak = Peak()
    for process, at_s in ((0, 1.0), (1, 2.0)):
        ticks = np.zeros(60, TIMELINE_DTYPE)
        ticks["t"] = np.arange(60) * 0.05
        ticks["in_flight"] = np.where(np.abs(ticks["t"] - at_s) < 0.02, 50, 3)
        peak.add(process, ticks, 0.0)
    assert peak.most == 53


def test_the_figures_so_far_are_those_of_the_records(tmp_path: Path) -> None:
    """Counts are exact, percentiles within 1 % of the result, rows in the order of the plan."""
    board, result, states = played(tmp_path, items=400)
    state = board.state()
    assert [row.state for row in states[1].tables[0].rows] == ["running", "waiting"]
    assert [row.state for row in state.tables[0].rows] == ["played", "played"]
    for row, case in zip(state.tables[0].rows, result.cases, strict=True):
        assert row.cells[0] == case.name
        assert row.values["ok"] == case.counts.ok == 400
        for name in ("latency_p50_s", "latency_p99_s", "service_p99_s", "completed_per_s"):
            exact = {
                "latency_p50_s": case.latency_s.p50.value,
                "latency_p99_s": case.latency_s.p99.value,
                "service_p99_s": case.service_time_s.p99.value,
                "completed_per_s": case.rates_per_s.completed,
            }[name]
            assert row.values[name] == pytest.approx(exact, rel=0.0101)


def test_at_the_end_everything_shown_is_of_the_result(tmp_path: Path) -> None:
    board, result, _ = played(tmp_path)
    board.on("result", {"result": result})
    board.on("over", {"text": "the run is over", "report": "/x/report.html", "page": False})
    state = board.state()
    assert (state.phase, state.stoppable, state.report) == ("over", False, "/x/report.html")
    assert (state.verdict.status, state.headline) == (result.verdict.status, result.headline)
    for row, case in zip(state.tables[0].rows, result.cases, strict=True):
        assert row.cells == figures_row(case)
        assert row.values["latency_p95_s"] == case.latency_s.p95.value
        assert row.values["completed_per_s"] == case.rates_per_s.completed


def test_a_run_can_be_stopped_only_while_something_is_played(tmp_path: Path) -> None:
    _, _, states = played(tmp_path)
    # The target; then each case, and its end.
    assert [state.stoppable for state in states] == [False, True, False, True, False]


def test_the_metrics_are_valid_text_and_count_what_was_played(tmp_path: Path) -> None:
    board, result, _ = played(tmp_path)
    found = Exposition(render(board.families()))
    for case in result.cases:
        assert found.value("paceline_items_total", case=case.name, outcome="ok") == case.counts.ok
        assert found.value("paceline_latency_seconds_count", case=case.name) == case.counts.ok
    assert found.value("paceline_run_info", phase="playing") == 1
    assert found.types["paceline_latency_seconds"] == "histogram"


def test_a_name_from_outside_stays_text_in_the_metrics(tmp_path: Path) -> None:
    board, _, _ = played(tmp_path)
    [key] = [key for key in board._cases if key[1] == "sync"]
    board._cases["", 'a"b\\c\nd'] = board._cases.pop(key)
    assert Exposition(render(board.families())).value("paceline_attempts_total", case='a\\"b\\\\c\\nd') == 20


def test_a_case_that_the_plan_lacks_is_not_taken_for_the_one_before(tmp_path: Path) -> None:
    board, _, _ = played(tmp_path)
    lines = len(board.state().lines)
    (key,) = [key for key in board._cases if key[1] == "sync"]
    board._key = key
    facts = {"name": "not planned", "repeat": 0, "repeats": 1, "items": None, "side": key[0]}
    board.on("case", {**facts, "records": str(tmp_path / "records")})
    board.on("case_done", {"name": "not planned", "repeat": 0, "observed": None})
    assert not [line for line in board.state().lines[lines:] if "sync" in line]
    assert board._key is None


def test_a_plan_that_cannot_be_read_is_said_and_ends_nothing(tmp_path: Path) -> None:
    board = RunBoard("1", "x", "x")
    facts = {"name": "x", "repeat": 0, "repeats": 1, "items": None}
    board.on("case", {**facts, "records": str(tmp_path / "records")})
    board.read()
    board.on("case_done", {"name": "x", "repeat": 0, "observed": None})
    assert "not a run directory" in board.state().lines[0]
    assert render(board.families()).startswith("# HELP paceline_run_info")

"""The boards of a gate and of bulk processing; what reading the records costs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from harness.bulk.tally import RowCounts, as_builtins
from harness.client.types import Outcome
from harness.live.case_so_far import CaseSoFar
from harness.live.exposition import render
from harness.live.page_state import PageState
from harness.live.process_board import ProcessBoard
from harness.live.run_board import RunBoard
from harness.live.tail import Fresh
from harness.measure.record.plan import PlanCase
from harness.measure.record.rows_file import REQUEST_DTYPE, TIMELINE_DTYPE
from harness.measure.reduce.summary import Observed
from harness.measure.result import Named, Reason, Verdict
from tests import report_samples as samples
from tests.contract.test_metrics import Exposition
from tests.unit.recorded import Exchange, plan, plan_case, record, recorder
from tests.unit.test_gate_judge import gates

COST_US_MAX = 5.0
"""For each row, in the process that serves the page; a client needs several times as much for a request."""


def processing(*statuses: dict[str, Any]) -> tuple[ProcessBoard, list[float]]:
    """A board that got these counts, a second apart."""
    at = [0.0]
    board = ProcessBoard("1", "paceline process", "paceline process", lambda: at[0])
    board.on("begin", {"resumed": 3, "resumable": True})
    for counts in statuses:
        facts = {"counts": as_builtins(RowCounts(**counts)), "in_flight": 7, "lines": 100.0, "rate_per_s": 5.0}
        board.on("status", facts)
        board.read()
        # A page that is opened in between makes no point.
        board.read()
        at[0] += 1.0
    return board, at


def tile(state: PageState, key: str) -> str:
    [found] = [one for one in state.tiles if one.key == key]
    return found.text


def test_bulk_processing_shows_answers_dead_letters_and_their_rates() -> None:
    dead = {"dead": {"timed_out": 4}, "samples": {"timed_out": "line 3: <b>late</b>"}}
    board, _ = processing({"ok": 10}, {"ok": 30, "attempts": 34, "failed_attempts": 4, **dead}, {"ok": 46, **dead})
    state = board.state()
    assert state.stoppable
    assert state.share == 0.5
    assert (tile(state, "ok"), tile(state, "failed"), tile(state, "in_flight")) == ("46", "4", "7")
    rate, _ = state.charts
    assert [line.values for line in rate.lines] == [[20.0, 16.0], [4.0, 0.0]]
    assert state.tables[0].rows[0].cells == ["timed_out", "4", "line 3: <b>late</b>"]
    assert state.lines == ["resuming after 3 lines"]
    assert Exposition(render(board.families())).value("paceline_lines_total", outcome="timed_out") == 4


def test_bulk_processing_ends_with_its_summary_and_cannot_be_stopped_twice() -> None:
    board, _ = processing({"ok": 10})
    board.on("stop_asked", {})
    assert not board.state().stoppable
    counts = as_builtins(RowCounts(ok=12))
    board.on("summary", {"passed": False, "stopped": "interrupted", "text": "interrupted", "counts": counts})
    board.on("over", {"text": "the processing is over", "report": "answers: /x/out.jsonl", "page": False})
    state = board.state()
    assert (state.phase, state.verdict.words, tile(state, "ok")) == ("over", "stopped before the end", "12")
    assert (state.findings, state.report) == (["interrupted"], "answers: /x/out.jsonl")


def test_a_server_that_takes_no_connections_is_said_once_until_it_answers() -> None:
    board, _ = processing({"ok": 10})
    facts = {"in_flight": 0, "lines": 100.0, "rate_per_s": 0.0}
    for _ in range(3):
        board.on("waiting", {"ok": 10, "error": "refused\x1b[31m"})
        board.on("status", {**facts, "counts": as_builtins(RowCounts(ok=10))})
    assert board.state().said == "the server takes no connections: refused\\x1b[31m"
    assert len(board.state().lines) == 2
    board.on("status", {**facts, "counts": as_builtins(RowCounts(ok=11))})
    assert (board.state().said, board.state().lines[-1]) == ("processing", "the server answers again")


def test_a_gate_shows_both_sides_and_ends_with_its_checks() -> None:
    board = RunBoard("1", "paceline gate", "paceline gate")
    gate = gates()[1]
    board.on("gate", {"gate": gate, "sides": {"baseline": samples.single(), "candidate": samples.single()}})
    state = board.state()
    assert (state.verdict.status, state.headline) == ("failed", gate.text)
    assert [row.cells[0].split(":")[0] for row in state.tables[0].rows] == ["baseline", "candidate"]
    assert len(state.findings) == len(gate.checks)


def test_sides_of_one_name_are_kept_apart_and_each_repeat_is_judged(tmp_path: Path) -> None:
    """The worst verdict of all repeats that have ended is the verdict so far."""
    board = RunBoard("1", "x", "x")
    for side in ("baseline", "candidate"):
        directory = tmp_path / side
        directory.mkdir()
        plan(directory, plan_case())
        into = recorder(directory)
        record(into, [Exchange(0.0, 0.0, 0.02)] * 5)
        into.flush()
        facts = {"name": "sync", "repeat": 0, "repeats": 1, "items": 10, "records": str(directory / "records")}
        board.on("case", {**facts, "side": side})
        board.read()
        assert board.state().stoppable
        reasons = [Reason("lag", "It was late.", "sync")] if side == "candidate" else []
        judged = Observed(None, Verdict("invalid" if reasons else "valid", reasons))
        board.on("case_done", {"name": "sync", "repeat": 0, "observed": judged})
        words = {"baseline": "valid so far", "candidate": "invalid so far"}[side]
        assert board.state().verdict.words == words
    state = board.state()
    assert [row.cells[0] for row in state.tables[0].rows] == ["baseline: sync", "candidate: sync"]
    assert state.verdict.reasons == ["candidate: sync: It was late."]


def test_a_server_that_answers_nothing_and_a_broken_slo_show_at_once(tmp_path: Path) -> None:
    plan(tmp_path, plan_case(), slo="service_p50<10ms,errors<60%")
    into, board = recorder(tmp_path), RunBoard("1", "x", "x")
    facts = {"name": "sync", "repeat": 0, "repeats": 1, "items": 10, "records": str(tmp_path / "records")}
    board.on("case", facts)
    assert board.state().verdict.words == "nothing was measured yet"
    for exchange, words in (
        (Exchange(0.0, 0.0, 0.02, Outcome.server_error, 500), "invalid so far, SLO fails"),
        (Exchange(0.0, 0.0, 0.02), "valid so far, SLO fails"),
    ):
        record(into, [exchange] * 5)
        into.flush()
        board.read()
        assert board.state().verdict.words == words
    assert board.state().verdict.status == "failed"
    assert [line.split(":")[1] for line in board.state().findings] == [
        " service_p50<10ms FAILS",
        " errors<60% holds",
    ]


def test_reading_a_row_costs_little() -> None:
    """100,000 rows of 100 s, second by second, as a page would get them."""
    case = CaseSoFar(PlanCase("x", strategy=Named("sync"), tasks=[]))
    case.begin(0)
    rows = np.zeros(100_000, REQUEST_DTYPE)
    rows["done"] = np.linspace(1e6, 100e9, len(rows)).astype(np.int64)
    rows["sent"] = rows["first_sent"] = rows["done"] - 1_000_000
    ticks = np.zeros(2_000, TIMELINE_DTYPE)
    ticks["t"] = np.arange(2_000) * 0.05
    began = time.process_time()
    for part, part_ticks in zip(np.array_split(rows, 100), np.array_split(ticks, 100), strict=True):
        case.add(Fresh(0, part, np.full(len(part), 3), part_ticks, 0.0))
        case.series.settle()
    assert (time.process_time() - began) / len(rows) * 1e6 < COST_US_MAX
    assert case.ok == len(rows)
    assert len(case.series.points) == 99


def test_a_state_of_a_long_run_is_small() -> None:
    board, _ = processing(*({"ok": 10 * n} for n in range(400)))
    assert len(board.state().seconds) == 300
    assert len(msgspec.json.encode(board.state())) < 20_000

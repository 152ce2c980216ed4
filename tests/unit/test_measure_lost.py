"""A killed client process: its loss is counted, and named in verdict and result."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from harness.experiment.run import ExternalFacts
from harness.measure.lost_result import LostProcess
from harness.measure.record.plan import (
    CaseFacts,
    Measured,
    PlanCase,
    read_facts,
    write_facts,
    write_measured,
    write_plan,
)
from harness.measure.reduce.summary import summarize_run
from harness.measure.result import Case, Reason, RunResult
from tests.measure_samples import CASE, leave, plan, plan_case, request_rows, ticks
from tests.processes import spec

TWO = plan_case(processes=2, users=2, items=400)


def killed(
    run: Path, of: PlanCase = TWO, seen: int | None = None, flight: int = 4, workload: int | None = None
) -> None:
    """Process 0 has done its 200 items, process 1 was killed after 90; the server counted `seen` exchanges."""
    write_plan(plan(of), run)
    write_measured(Measured(), run)
    whole, part = request_rows(200), request_rows(90, first=200)
    part["user"] = 1
    leave(run, whole)
    last = ticks(20, pulled=94, in_flight=4, done=90)
    leave(run, part, process=1, end=None, timeline=last)
    write_facts(CaseFacts(CASE, exit_code=0, server_seen=seen, workload=workload), run)


def found(run: Path) -> tuple[RunResult, Case, Reason]:
    """The result, its case, and the reason that names the loss."""
    result = summarize_run(run)
    (reason,) = [reason for reason in result.verdict.reasons if reason.code == "partial"]
    return result, result.cases[0], reason


def test_what_a_killed_process_had_sent_is_counted_as_the_server_knows_it(tmp_path: Path) -> None:
    """290 records, 301 exchanges: eleven were sent and lost, more than its last tick knew of."""
    killed(tmp_path, seen=301)
    result, case, reason = found(tmp_path)
    assert result.verdict.status == "inconclusive"
    assert case.lost is not None
    assert case.lost.processes == [LostProcess(0, 1, pytest.approx(0.95), 90, 4, [1])]
    assert case.lost.exchanges == 11
    assert (case.counts.scheduled, case.counts.ok, case.counts.unfinished, case.counts.not_sent) == (400, 290, 11, 99)
    assert reason.text.startswith(
        "Killed or crashed: client process p1 of 2 at 950 ms, with 90 requests recorded and 4 in flight. The server "
        "counted 11 exchanges that no record holds. Of 400 items, 11 were under way and have no outcome, and 99 were "
        "never sent."
    )


def test_without_a_server_that_counts_the_last_tick_is_what_is_known(tmp_path: Path) -> None:
    """Four were in flight. The verdict claims no more."""
    killed(tmp_path)
    _, case, reason = found(tmp_path)
    assert case.lost is not None
    assert case.lost.exchanges is None
    assert (case.counts.unfinished, case.counts.not_sent) == (4, 106)
    assert "The server counted" not in reason.text


def test_exchanges_of_retries_are_no_number_of_items(tmp_path: Path) -> None:
    """The server's surplus is named, and the items stay those of the last tick."""
    write_plan(plan(TWO), tmp_path)
    write_measured(Measured(), tmp_path)
    whole = request_rows(200)
    whole["attempts"] = 2
    leave(tmp_path, whole)
    leave(tmp_path, request_rows(90, first=200), process=1, end=None, timeline=ticks(20, pulled=94, in_flight=4))
    write_facts(CaseFacts(CASE, exit_code=0, server_seen=520), tmp_path)
    _, case, _ = found(tmp_path)
    assert case.lost is not None
    assert (case.lost.exchanges, case.counts.unfinished) == (30, 4)


def test_a_process_that_left_nothing_is_missed(tmp_path: Path) -> None:
    """It was killed before the load began: its share was never sent, and the run is no valid one."""
    write_plan(plan(TWO), tmp_path)
    write_measured(Measured(), tmp_path)
    leave(tmp_path, request_rows(200))
    write_facts(CaseFacts(CASE, exit_code=0, server_seen=200), tmp_path)
    result, case, reason = found(tmp_path)
    assert result.verdict.status == "inconclusive"
    assert case.partial
    assert (case.counts.scheduled, case.counts.not_sent) == (400, 200)
    assert "client process p1 of 2, which left no record" in reason.text


def test_the_rows_of_the_input_are_counted_if_nothing_else_gives_the_loss(tmp_path: Path) -> None:
    """A backlog of a whole file: without their number the lost share would go unnoticed."""
    killed(tmp_path, msgspec.structs.replace(TWO, items=None), workload=400)
    _, case, _ = found(tmp_path)
    assert (case.counts.scheduled, case.counts.unfinished, case.counts.not_sent) == (400, 4, 106)


@pytest.mark.parametrize(("dies", "expected"), [(True, 3), (False, None)])
def test_the_input_is_read_again_only_after_a_loss(dies: bool, expected: int | None, tmp_path: Path) -> None:
    """By the process that watches the others; blank lines are no rows."""
    rows = tmp_path / "in.jsonl"
    rows.write_text('{"a": 1}\n\n{"a": 2}\n{"a": 3}\n')
    trial = spec("http://x", tmp_path / "records", name=CASE, items=None, input=str(rows))
    leave(tmp_path, request_rows(2), end=None if dies else "whole")

    class Server:
        url, profile, note = "http://x", None, None

        def reset(self) -> None: ...

        def seen(self) -> int | None:
            return None

    ExternalFacts(trial, tmp_path, Server()).end(0)
    facts = read_facts(tmp_path, CASE, 0)
    assert facts is not None
    assert facts.workload == expected

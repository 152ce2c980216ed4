"""Each reason for which a result may not be trusted, and the exit codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.client.types import Outcome
from harness.measure.plan import CaseFacts, write_facts, write_plan
from harness.measure.result import Load, Reason, RunResult, SloCheck, Verdict
from harness.measure.summary import summarize_run
from harness.measure.verdict import CODES, exit_code, verdict
from tests.measure_samples import CASE, MS, fail, finished, leave, plan, plan_case, request_rows, ticks, whole_end

N = 400


def codes(result: RunResult) -> set[str]:
    """The codes of a verdict's reasons; each must be a known one with a sentence."""
    assert all(reason.code in CODES and len(reason.text) > 20 for reason in result.verdict.reasons)
    return {reason.code for reason in result.verdict.reasons}


def test_no_success_is_no_result(tmp_path: Path) -> None:
    """Every request refused: invalid, exit code 4, and the headline names no winner."""
    finished(tmp_path, fail(request_rows(N), Outcome.rejected, 429), slo="errors<100%")
    result = summarize_run(tmp_path)
    assert "no_data" in codes(result)
    assert exit_code(result) == 4
    assert result.headline.startswith("No request succeeded")


def test_nothing_at_all_is_no_result() -> None:
    """An empty comparison can never pass."""
    assert verdict([], []).status == "invalid"


def test_half_refused_is_invalid_and_says_what_counts(tmp_path: Path) -> None:
    """429 to half: rates count successes only, and the reason says so and names the outcome."""
    rows = request_rows(N)
    fail(rows[::2], Outcome.rejected, 429)
    finished(tmp_path, rows)
    result = summarize_run(tmp_path)
    (reason,) = [reason for reason in result.verdict.reasons if reason.code == "errors"]
    assert "429" in reason.text
    assert "successes only" in reason.text
    assert exit_code(result) == 4
    case = result.cases[0]
    assert case.makespan_s is not None
    assert case.rates_per_s.completed == pytest.approx(N / 2 / case.makespan_s)


def test_the_users_own_error_limit_takes_the_place_of_ours(tmp_path: Path) -> None:
    """With errors<60% the SLO decides; with errors<1% it fails with exit code 1."""
    rows = request_rows(N)
    fail(rows[::2], Outcome.rejected, 429)
    finished(tmp_path, rows, slo="errors<60%")
    assert exit_code(summarize_run(tmp_path)) == 0
    finished(tmp_path, rows, slo="errors<1%")
    assert exit_code(summarize_run(tmp_path)) == 1


def test_other_counts_at_the_server_are_invalid(tmp_path: Path) -> None:
    """One exchange more or less, where every exchange had an answer."""
    for seen in (N - 1, N + 1):
        finished(tmp_path, request_rows(N), seen=seen)
        assert codes(summarize_run(tmp_path)) == {"server_count"}


def test_exchanges_without_an_answer_may_or_may_not_have_been_seen(tmp_path: Path) -> None:
    """Two connections refused of 400: the server may have counted them or not."""
    rows = request_rows(N)
    fail(rows[:2], Outcome.connection_error)
    for seen in (N - 2, N):
        finished(tmp_path, rows, seen=seen)
        assert summarize_run(tmp_path).verdict.status == "valid"


@pytest.mark.parametrize(
    "ending",
    [{"recorded": N + 1}, {"scheduled": N - 1}, {"locust_requests": N - 1}],
    ids=["rows are missing", "more outcomes than items", "Locust lost one"],
)
def test_what_does_not_add_up_is_invalid(tmp_path: Path, ending: dict[str, Any]) -> None:
    """Conservation: scheduled = outcomes, rows written = rows found, Locust's totals = ours."""
    rows = request_rows(N)
    finished(tmp_path, rows, end=whole_end(rows, **ending))
    assert "conservation" in codes(summarize_run(tmp_path))


def test_an_item_recorded_twice_is_invalid(tmp_path: Path) -> None:
    """A strategy that sends an item twice is found out."""
    rows = request_rows(N)
    rows["index"][1] = 0
    finished(tmp_path, rows)
    assert codes(summarize_run(tmp_path)) == {"conservation"}


def test_a_client_near_its_ceiling_measures_itself(tmp_path: Path) -> None:
    """400/s of a ceiling of 500/s is 80 %; of 1000/s it is 40 %."""
    finished(tmp_path, request_rows(N), ceilings={"asyncio": 500.0})
    result = summarize_run(tmp_path)
    assert codes(result) == {"client_ceiling"}
    assert result.cases[0].diagnosis.limited_by == "client"
    finished(tmp_path, request_rows(N), ceilings={"asyncio": 1000.0})
    assert summarize_run(tmp_path).verdict.status == "valid"


def test_arrivals_given_out_late_are_invalid(tmp_path: Path) -> None:
    """5 ms of lag beside a latency of 10 ms; a backlog has no lateness."""
    arrivals = plan_case(load=Load("constant", {"rate_per_s": 100.0}, duration_s=4.0))
    rows = request_rows(N, gap_ms=10)
    for column in ("fired", "first_sent", "sent", "first_byte", "done"):
        rows[column] += 5 * MS
    finished(tmp_path, rows, planned=arrivals)
    assert codes(summarize_run(tmp_path)) == {"lag"}
    finished(tmp_path, rows)
    assert summarize_run(tmp_path).verdict.status == "valid"


def test_a_full_disk_and_a_failed_engine_are_told_apart(tmp_path: Path) -> None:
    """Both invalid, each under its own code."""
    rows = request_rows(N)
    lost = whole_end(rows, error="could not write records: No space left on device", lost_rows=5)
    finished(tmp_path, rows, end=lost)
    assert "write_error" in codes(summarize_run(tmp_path))
    finished(tmp_path, rows, end=whole_end(rows, error="ZeroDivisionError: division by zero"))
    assert codes(summarize_run(tmp_path)) == {"engine_error"}


def test_an_interrupted_run_is_inconclusive(tmp_path: Path) -> None:
    """What the stop left undone is not called a failure of the server."""
    rows = request_rows(N)
    end = whole_end(rows, scheduled=1000, not_sent=600, interrupted="stopped by the user")
    finished(tmp_path, rows, end=end)
    result = summarize_run(tmp_path)
    assert codes(result) == {"interrupted"}
    assert result.cases[0].partial
    assert exit_code(result) == 5


def test_a_killed_process_is_inconclusive(tmp_path: Path) -> None:
    """It never wrote its end; the last tick says how many it had given out."""
    write_plan(plan(plan_case()), tmp_path)
    timeline = ticks(pulled=N + 4)
    leave(tmp_path, request_rows(N), end=None, timeline=timeline)
    write_facts(CaseFacts(CASE, 0, -9, None, N + 4, None, 1.0), tmp_path)
    result = summarize_run(tmp_path)
    assert codes(result) == {"partial"}
    assert result.cases[0].counts.unfinished == 4


def test_many_unanswered_items_are_inconclusive(tmp_path: Path) -> None:
    """Arrivals left over when the drain ended: the longest latencies are missing."""
    rows = request_rows(N)
    finished(tmp_path, rows, end=whole_end(rows, scheduled=N + 50, not_sent=50))
    assert codes(summarize_run(tmp_path)) == {"unfinished"}


def test_exit_codes_in_their_order(tmp_path: Path) -> None:
    """Invalid beats a failed SLO, which beats inconclusive."""
    finished(tmp_path, request_rows(N))
    good = summarize_run(tmp_path)
    failed = msgspec.structs.replace(good.cases[0], slo=[SloCheck("p99<1ms", 0.01, 0.001, False)])

    def code(status: Any, *cases: Any) -> int:
        reasons = [] if status == "valid" else [Reason("interrupted", "x")]
        return exit_code(msgspec.structs.replace(good, verdict=Verdict(status, reasons), cases=list(cases)))

    assert code("valid", good.cases[0]) == 0
    assert code("inconclusive", good.cases[0]) == 5
    assert code("inconclusive", failed) == 1
    assert code("invalid", failed) == 4
    assert code("valid") == 4

"""From record files to a result: whole runs, several processes, repeats, and what a kill leaves behind."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from harness.client.errors import UsageError
from harness.client.types import Outcome
from harness.measure.judge.verdict import exit_code
from harness.measure.record.files import paths
from harness.measure.record.plan import CaseFacts, Measured, write_facts, write_measured, write_plan
from harness.measure.record.rows_file import ATTEMPT_DTYPE
from harness.measure.reduce.summary import measure_case, summarize_run
from harness.measure.result import OUTCOME_NAMES, Named
from tests.measure_samples import CASE, MS, fail, finished, leave, plan, plan_case, request_rows, whole_end


def test_a_whole_backlog(tmp_path: Path) -> None:
    """Four slots of 10 ms: 400 items take 1 s, at 400/s, with 4 in flight, and the verdict is valid."""
    finished(tmp_path, request_rows(400))
    result = summarize_run(tmp_path)
    case = result.cases[0]
    assert result.verdict.status == "valid", result.verdict
    assert case.makespan_s == pytest.approx(1.0)
    assert case.rates_per_s.completed == pytest.approx(400)
    assert case.rates_per_s.goodput == case.rates_per_s.completed
    assert case.rates_per_s.offered is None
    assert case.in_flight.mean == pytest.approx(4.0)
    assert case.in_flight.max == 4
    assert case.service_time_s.p99.value == pytest.approx(0.010)
    assert case.latency_s.max == pytest.approx(1.0)
    assert case.ttft_s is None
    assert case.resources.client_cpu_us_per_request == pytest.approx(250)
    assert 60 <= len(case.timeline) <= 120
    assert sum(bucket.ok for bucket in case.timeline) == 400
    assert result.schedule_sha256 == "abc"


def test_every_scheduled_item_has_one_outcome(tmp_path: Path) -> None:
    """Failures and items that never left are counted beside the successes; latencies are of the successes alone."""
    rows = request_rows(100)
    fail(rows[:20], Outcome.rejected, 429)
    fail(rows[20:25], Outcome.timed_out)
    finished(tmp_path, rows, end=whole_end(rows, scheduled=110, not_sent=10))
    case = summarize_run(tmp_path).cases[0]
    counts = case.counts
    assert (counts.scheduled, counts.ok, counts.rejected, counts.timed_out, counts.not_sent) == (110, 75, 20, 5, 10)
    assert sum(getattr(counts, name) for name in OUTCOME_NAMES) == counts.scheduled
    assert case.latency_s.n == 75
    assert case.rates_per_s.completed == pytest.approx(75 / 0.25)


def test_processes_are_laid_side_by_side_by_the_wall_clock(tmp_path: Path) -> None:
    """A second process that began 0.5 s later ends 0.5 s later; counts, CPU and memory add up."""
    write_plan(plan(plan_case(processes=2)), tmp_path)
    write_measured(Measured(), tmp_path)
    leave(tmp_path, request_rows(100))
    leave(tmp_path, request_rows(100, first=100), process=1, t0_unix_s=1000.5)
    case = summarize_run(tmp_path).cases[0]
    assert case.makespan_s == pytest.approx(0.75)
    assert case.counts.ok == 200
    assert case.resources.client_cpu_s == pytest.approx(0.2)
    assert case.resources.client_rss_max_mb == pytest.approx(100)
    assert case.latency_s.max == pytest.approx(0.25)


def test_repeats_are_pooled_and_give_an_interval(tmp_path: Path) -> None:
    """Three repeats: percentiles of all, makespan their mean, and low <= value <= high."""
    write_plan(plan(plan_case(repeats=3)), tmp_path)
    write_measured(Measured(), tmp_path)
    for repeat, service_ms in enumerate((10, 11, 12)):
        leave(tmp_path, request_rows(200, service_ms=service_ms), repeat=repeat)
    case = summarize_run(tmp_path).cases[0]
    assert case.repeats == 3
    assert case.makespan_s == pytest.approx(0.55)
    assert case.counts.ok == 600
    p50 = case.latency_s.p50
    assert p50.value is not None
    assert p50.low is not None
    assert p50.high is not None
    assert p50.low < p50.value < p50.high


def test_a_missing_repeat_makes_the_run_inconclusive(tmp_path: Path) -> None:
    """Two of three repeats are not what was asked for."""
    write_plan(plan(plan_case(repeats=3)), tmp_path)
    write_measured(Measured(), tmp_path)
    for repeat in range(2):
        leave(tmp_path, request_rows(200), repeat=repeat)
    result = summarize_run(tmp_path)
    assert result.verdict.status == "inconclusive"
    assert result.cases[0].partial


def test_a_killed_process_leaves_a_partial_case(tmp_path: Path) -> None:
    """No end, a torn last flush, no facts: what was recorded is shown, marked partial, and does not pass."""
    write_plan(plan(plan_case()), tmp_path)
    write_measured(Measured(), tmp_path)
    leave(tmp_path, request_rows(100), end=None)
    requests = paths(tmp_path, CASE, 0, 0).requests
    requests.write_bytes(requests.read_bytes()[:-7])
    result = summarize_run(tmp_path)
    assert result.cases[0].partial
    assert result.cases[0].counts.ok == 90
    assert result.verdict.status != "valid"


def test_a_process_killed_in_its_first_instant(tmp_path: Path) -> None:
    """A torn header has no rows to lose; nothing recorded is neither a result nor a fault of the target."""
    write_plan(plan(plan_case()), tmp_path)
    write_measured(Measured(), tmp_path)
    leave(tmp_path, request_rows(1), end=None)
    requests = paths(tmp_path, CASE, 0, 0).requests
    requests.write_bytes(requests.read_bytes()[:30])
    result = summarize_run(tmp_path)
    assert result.verdict.status == "inconclusive"
    assert exit_code(result) == 5


def test_a_case_that_was_never_begun_is_named_and_not_shown(tmp_path: Path) -> None:
    """The run is inconclusive without it."""
    write_plan(plan(plan_case(), plan_case("sync")), tmp_path)
    write_measured(Measured(), tmp_path)
    leave(tmp_path, request_rows(400))
    result = summarize_run(tmp_path)
    assert [case.name for case in result.cases] == [CASE]
    assert result.verdict.status == "inconclusive"
    assert "sync" in result.verdict.reasons[-1].text
    assert measure_case(plan_case("sync"), tmp_path, Measured(), []) is None


def test_a_case_that_was_begun_without_records(tmp_path: Path) -> None:
    """The child failed before the load: facts alone make a partial case with nothing in it."""
    write_plan(plan(plan_case()), tmp_path)
    write_measured(Measured(), tmp_path)
    write_facts(CaseFacts(CASE, 0, 1, None, 0, None, 0.2), tmp_path)
    result = summarize_run(tmp_path)
    assert result.cases[0].partial
    assert result.verdict.status == "invalid"
    assert {reason.code for reason in result.verdict.reasons} >= {"no_data"}


def test_arrivals_know_their_offered_rate_and_goodput(tmp_path: Path) -> None:
    """100/s for 4 s, 10 ms each; with an SLO of 5 ms nothing is goodput."""
    arrivals = plan_case(load=Named("constant", {"rate_per_s": 100.0}), duration_s=4.0, scheduled=400, span_s=4.0)
    finished(tmp_path, request_rows(400, gap_ms=10), planned=arrivals, slo="p99<5ms")
    case = summarize_run(tmp_path).cases[0]
    assert case.rates_per_s.offered == pytest.approx(100)
    assert case.rates_per_s.completed == pytest.approx(100, rel=0.01)
    assert case.rates_per_s.goodput == 0
    assert not case.slo[0].passed
    assert case.diagnosis.limited_by == "load"


def test_streams_of_an_earlier_version_have_a_time_to_first_token_and_say_what_they_lack(tmp_path: Path) -> None:
    """First of 5 events after 2 ms; the gaps were not recorded, but their mean still bounds goodput."""
    rows = request_rows(300)
    rows["first_byte"], rows["last_chunk"], rows["chunks"] = rows["sent"] + 2 * MS, rows["done"], 5
    finished(tmp_path, rows, slo="ttft_p95<3ms,itl_p50<3ms")
    case = summarize_run(tmp_path).cases[0]
    assert case.ttft_s is not None
    assert case.ttft_s.p99.value == pytest.approx(0.002)
    assert case.itl_s is None
    assert case.tokens is None
    assert any("without tokens and gaps" in warning for warning in case.warnings)
    assert [check.passed for check in case.slo] == [True, False]
    assert case.rates_per_s.goodput == pytest.approx(case.rates_per_s.completed or 0)


def test_earlier_attempts_count_as_exchanges_and_as_retry_time(tmp_path: Path) -> None:
    """Each request took two attempts 10 ms apart; the server saw both."""
    rows = request_rows(100)
    attempts = np.zeros(100, ATTEMPT_DTYPE)
    attempts["index"], attempts["sent"], attempts["done"] = rows["index"], rows["sent"], rows["sent"] + 2 * MS
    attempts["outcome"], attempts["status"] = Outcome.server_error, 500
    rows["sent"] += 5 * MS
    rows["attempts"] = 2
    finished(tmp_path, rows, attempts=attempts, seen=200)
    result = summarize_run(tmp_path)
    case = result.cases[0]
    assert result.verdict.status == "valid", result.verdict
    assert case.counts.attempts == 200
    assert case.retry_time_s.max == pytest.approx(0.005)
    assert case.service_time_s.max == pytest.approx(0.005)


def test_bad_lines_and_few_successes_are_warned_of(tmp_path: Path) -> None:
    """Each in a sentence of its own."""
    rows = request_rows(50)
    end = whole_end(rows, bad_lines=2, first_bad_line="line 3: text2 is missing")
    finished(tmp_path, rows, end=end)
    case = summarize_run(tmp_path).cases[0]
    text = " ".join(case.warnings)
    assert case.counts.bad_lines == 2
    assert case.latency_s.p99.value is None
    assert "line 3" in text
    assert "p99" in text


def test_the_same_directory_gives_the_same_result(tmp_path: Path) -> None:
    """Everything is recomputed offline, as often as one likes."""
    finished(tmp_path, request_rows(300))
    assert msgspec.json.encode(summarize_run(tmp_path)) == msgspec.json.encode(summarize_run(tmp_path))


def test_a_directory_without_a_plan_is_the_users_mistake(tmp_path: Path) -> None:
    """One line, exit code 2."""
    with pytest.raises(UsageError, match=r"plan\.json"):
        summarize_run(tmp_path)
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(UsageError, match=r"plan\.json"):
        summarize_run(tmp_path)

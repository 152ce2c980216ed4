"""From record files to figures, each against what can be worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.client.errors import UsageError
from harness.client.types import Outcome
from harness.load.schedule import compute
from harness.measure.judge.verdict import exit_code
from harness.measure.record.frames import frame
from harness.measure.record.plan import CaseFacts, Measured, read_plan, write_facts
from harness.measure.record.rows_file import Header, encode_header, read
from harness.measure.reduce.summary import measure_case, summarize_run
from harness.measure.result import Case, Named, RunResult
from tests.measure_samples import summarize_case
from tests.unit.recorded import (
    NEVER,
    Exchange,
    end,
    one_by_one,
    plan,
    plan_case,
    record,
    recorder,
    steady,
    write_case,
)


def only(tmp_path: Path, slo: str = "", **planned: Any) -> Case:
    """The case `sync`, summarized alone."""
    return summarize_case(plan_case(**planned), tmp_path, slo)


def run(tmp_path: Path, *names: str, **more: Any) -> RunResult:
    """The whole run of these cases."""
    plan(tmp_path, *(plan_case(name) for name in names or ("sync",)), **more)
    return summarize_run(tmp_path)


def test_a_backlog_one_by_one(tmp_path: Path) -> None:
    """Ten requests of 0.1 s: makespan 1 s, 10/s, one in flight; latency is queue wait plus service."""
    write_case(tmp_path, "sync", one_by_one(10), facts={"server_seen": 10})
    case = only(tmp_path)
    assert case.makespan_s == pytest.approx(1.0)
    assert case.rates_per_s.completed == case.rates_per_s.sent == case.rates_per_s.goodput == pytest.approx(10.0)
    assert case.rates_per_s.offered is None
    assert (case.in_flight.mean, case.in_flight.max) == (pytest.approx(1.0), 1)
    assert case.latency_s.p50.value == pytest.approx(0.5)
    assert case.latency_s.p90.value is None
    assert case.service_time_s.max == pytest.approx(0.1)
    assert case.queue_wait_s.max == pytest.approx(0.9)
    assert (case.counts.scheduled, case.counts.ok, case.counts.attempts, case.counts.server_seen) == (10, 10, 10, 10)
    assert case.ttft_s is None
    assert not case.partial


def test_the_means_of_the_parts_add_up_to_the_mean_latency(tmp_path: Path) -> None:
    """They are of the same requests."""
    late = [Exchange(k, k + 0.5, k + 0.7, fired=k + 0.01, previous=((k + 0.2, k + 0.3, 429),)) for k in range(20)]
    write_case(tmp_path, "sync", late)
    case = only(tmp_path, kind="constant")
    parts = (case.lag_s, case.queue_wait_s, case.retry_time_s, case.service_time_s)
    assert sum(part.mean or 0.0 for part in parts) == pytest.approx(case.latency_s.mean)
    assert case.retry_time_s.mean == pytest.approx(0.3)


def test_failures_count_but_are_not_in_latencies_or_rates(tmp_path: Path) -> None:
    """Half of them refused at once must not make the client look quick."""
    refused = [Exchange(0.0, 1.0, 1.001, Outcome.rejected, 429) for _ in range(50)]
    write_case(tmp_path, "sync", one_by_one(50) + refused)
    case = only(tmp_path)
    assert (case.counts.ok, case.counts.rejected, case.latency_s.n) == (50, 50, 50)
    assert case.rates_per_s.completed == pytest.approx(10.0)
    assert case.rates_per_s.sent == pytest.approx(20.0)
    assert case.service_time_s.min == pytest.approx(0.1)
    assert "latencies are of the 50 successes of 100 items" in case.warnings


def test_what_sleeps_between_two_attempts_is_not_in_flight(tmp_path: Path) -> None:
    """In flight is sent and unanswered: two tenths of a second here, of a whole one."""
    write_case(tmp_path, "sync", [Exchange(0, 0.9, 1.0, previous=((0.0, 0.1, 429),))])
    case = only(tmp_path)
    assert case.in_flight.mean == pytest.approx(0.2)
    assert case.counts.attempts == 2


def test_streams_have_time_to_and_between_tokens(tmp_path: Path) -> None:
    """TTFT from the last attempt's start; ITL as every gap; single-event streams have none."""
    chunks = (0.3, 0.4, 0.5)
    write_case(tmp_path, "sync", [Exchange(0, 0.1, 0.5, chunks=chunks), Exchange(0, 0.1, 0.5, chunks=(0.2,))])
    case = only(tmp_path)
    assert case.ttft_s is not None
    assert case.itl_s is not None
    assert (case.ttft_s.max, case.ttft_s.min) == (pytest.approx(0.2), pytest.approx(0.1))
    assert (case.itl_s.mean, case.itl_s.n) == (pytest.approx(0.1), 2)


def test_cache_hits_are_answers_without_service_time(tmp_path: Path) -> None:
    """They must not pull the service time's floor to zero."""
    write_case(tmp_path, "sync", [*one_by_one(5), Exchange(0, NEVER, 0.001, cached=True)])
    case = only(tmp_path)
    assert (case.counts.ok, case.counts.cache_hits, case.counts.sent) == (6, 1, 5)
    assert (case.latency_s.n, case.service_time_s.n) == (6, 5)


def test_arrivals_have_an_offered_rate(tmp_path: Path) -> None:
    """That of the schedule, also where a number of items cut it short, and where the run was stopped."""
    write_case(tmp_path, "sync", steady(100, 0.1))
    for items, duration_s in ((None, 10.0), (100, 30.0)):
        schedule = compute("constant", {"rate_per_s": 10.0}, duration_s, items, 1)
        of: dict[str, Any] = {"load": Named("constant"), "scheduled": len(schedule), "span_s": schedule.span_s}
        assert only(tmp_path, **of).rates_per_s.offered == pytest.approx(10.0)
    write_case(tmp_path, "sync", steady(20, 0.1), interrupted="stopped by the user", scheduled=21)
    case = only(tmp_path, **of)
    assert case.rates_per_s.offered == pytest.approx(10.0)
    assert (case.counts.scheduled, case.counts.ok, case.counts.not_sent) == (100, 20, 80)
    assert case.partial


def test_a_trace_that_ends_before_the_duration_is_offered_at_its_own_rate(tmp_path: Path) -> None:
    """Forty arrivals in four seconds are ten per second, whatever --duration says."""
    trace = tmp_path / "trace.txt"
    trace.write_text("".join(f"{k / 10}\n" for k in range(40)))
    schedule = compute("replay", {"path": str(trace)}, 30.0, None, 1)
    assert schedule.span_s == pytest.approx(4.0)
    assert compute("replay", {"path": str(trace)}, 2.0, None, 1).span_s == pytest.approx(2.0)
    assert compute("poisson", {"rate_per_s": 1.0}, 9.0, None, 1).span_s == 9.0


def test_what_a_killed_worker_had_left_is_not_sent(tmp_path: Path) -> None:
    """`scheduled` is the schedule's length, whatever died: arrivals do not vanish, and the offered rate stays."""
    whole, killed = recorder(tmp_path, process=0), recorder(tmp_path, process=1)
    record(whole, steady(240, 0.05))
    end(whole, scheduled=240)
    record(killed, steady(90, 0.05), 1000)
    killed.tick(t=4.5, pulled=95.0)
    killed.flush()
    load = Named("constant", {"rate_per_s": 40.0})
    case = only(tmp_path, load=load, scheduled=480, span_s=12.0, processes=2)
    counts = case.counts
    assert (counts.scheduled, counts.ok, counts.unfinished, counts.not_sent) == (480, 330, 5, 145)
    assert case.rates_per_s.offered == pytest.approx(40.0)
    assert case.partial


def test_the_share_of_a_worker_that_left_no_file_is_not_sent(tmp_path: Path) -> None:
    """Killed before the load began; arrivals and a backlog of known size alike."""
    write_case(tmp_path, "sync", steady(240, 0.05), scheduled=240)
    arrivals = only(tmp_path, load=Named("constant"), scheduled=480, span_s=12.0, processes=2).counts
    backlog = only(tmp_path, items=480, processes=2).counts
    for counts in (arrivals, backlog):
        assert (counts.scheduled, counts.ok, counts.not_sent) == (480, 240, 240)


def test_another_schedule_than_the_planned_one_is_invalid(tmp_path: Path) -> None:
    """Each process writes down the hash of what it played."""
    write_case(tmp_path, "sync", one_by_one(400), schedule_sha256="ab")
    assert run(tmp_path).verdict.status == "valid"
    write_case(tmp_path, "sync", one_by_one(400), schedule_sha256="cd" * 32)
    (reason,) = run(tmp_path).verdict.reasons
    assert (reason.code, "cdcdcdcdcdcd" in reason.text) == ("schedule", True)


def test_goodput_counts_answers_within_the_slo(tmp_path: Path) -> None:
    """By the strictest bound on latency, and on time to first token."""
    write_case(tmp_path, "sync", one_by_one(100))
    within = only(tmp_path, slo="p50<1s,p99<2.05s,mean<9s")
    assert within.rates_per_s.goodput == pytest.approx(1.0)
    assert [check.passed for check in within.slo] == [False, False, True]
    no_stream = only(tmp_path, slo="ttft_p50<10s")
    assert no_stream.rates_per_s.goodput == 0.0
    assert not no_stream.slo[0].passed


def test_failures_are_counted_by_outcome_and_status(tmp_path: Path) -> None:
    """The most frequent first; no status where none arrived."""
    bad = [(Outcome.client_error, 401)] * 3 + [(Outcome.client_error, 404), (Outcome.connection_error, 0)]
    failed = [one_by_one(1, outcome=outcome, status=status)[0] for outcome, status in bad]
    failed += one_by_one(2, outcome=Outcome.rejected, status=429)
    write_case(tmp_path, "sync", one_by_one(10) + failed)
    found = [(one.outcome, one.status, one.count) for one in only(tmp_path).failures]
    assert found[0] == ("client_error", 401, 3)
    assert found[1] == ("rejected", 429, 2)
    assert sorted(one[0] for one in found[2:]) == ["client_error", "connection_error"]


def test_repeats_are_pooled_and_give_intervals(tmp_path: Path) -> None:
    """Three repeats: counts add up, makespan is the mean, and the percentiles have an interval."""
    for repeat, service_s in enumerate((0.10, 0.11, 0.12)):
        write_case(tmp_path, "sync", one_by_one(100, service_s), repeat, {"server_seen": 100})
    case = only(tmp_path, repeats=3)
    assert (case.repeats, case.counts.ok, case.counts.server_seen) == (3, 300, 300)
    assert case.makespan_s == pytest.approx(11.0)
    assert case.rates_per_s.completed == pytest.approx(300 / 33)
    p50 = case.latency_s.p50
    assert p50.value is not None
    assert p50.low is not None
    assert p50.high is not None
    assert p50.low < p50.value < p50.high
    assert case.timeline[-1].t_s + case.timeline[-1].width_s == pytest.approx(11.0, abs=0.2)


def test_a_missing_repeat_makes_a_case_partial(tmp_path: Path) -> None:
    """Two of three: reported, and the server's count is of those two."""
    for repeat in range(2):
        write_case(tmp_path, "sync", one_by_one(10), repeat, {"server_seen": 10})
    plan(tmp_path, plan_case(repeats=3))
    result = summarize_run(tmp_path)
    assert result.cases[0].partial
    assert [reason.code for reason in result.verdict.reasons] == ["partial"]
    assert result.verdict.reasons[0].text == "It lacks 1 of its planned repeats."


def test_two_processes_are_laid_side_by_side(tmp_path: Path) -> None:
    """By the wall clock of their zeros: the second began half a second later."""
    for process, zero in enumerate((100.0, 100.5)):
        into = recorder(tmp_path, process=process, t0_unix_s=zero)
        record(into, [Exchange(0, 0, 1.0), Exchange(0, NEVER, 0.1, Outcome.not_sent)], 10 * process)
        into.tick(t=0.0, limit=4.0, cpu=0.0, rss=1e6)
        into.tick(t=1.0, limit=4.0, cpu=0.5, rss=1e6, loop_lag=0.01 * process)
        end(into)
    case = only(tmp_path, processes=2)
    assert case.makespan_s == pytest.approx(1.5)
    assert case.in_flight.max == 2
    assert case.in_flight.mean == pytest.approx(2.0 / 1.5)
    assert case.timeline[0].due == 2
    middle = case.timeline[len(case.timeline) // 2]
    assert middle.limit == 8.0
    assert middle.rss_mb == pytest.approx(2.0)
    assert middle.cpu_share == pytest.approx(1.0)
    assert middle.in_flight == pytest.approx(2.0)
    assert case.resources.client_cpu_s == 2.0
    assert case.resources.client_rss_max_mb == 120.0


def test_a_killed_process_leaves_a_partial_case(tmp_path: Path) -> None:
    """What was given out and not recorded is unfinished, what was never given out is not sent; sums hold."""
    into = recorder(tmp_path)
    record(into, one_by_one(40))
    into.tick(t=0.0, cpu=0.1, rss=5e7)
    into.tick(t=4.0, pulled=45.0, cpu=0.5, rss=6e7)
    into.flush()
    plan(tmp_path, plan_case(items=100))
    result = summarize_run(tmp_path)
    (case,) = result.cases
    counts = case.counts
    assert (counts.scheduled, counts.ok, counts.unfinished, counts.not_sent) == (100, 40, 5, 55)
    assert case.partial
    assert case.resources.client_cpu_s == 0.5
    assert case.resources.client_rss_growth_mb == pytest.approx(10.0)
    assert result.verdict.status == "inconclusive"
    assert [reason.code for reason in result.verdict.reasons] == ["partial"]


def test_a_run_killed_around_its_client_is_partial_too(tmp_path: Path) -> None:
    """The client wrote its end, but its player never wrote the facts: a mock may have died with it."""
    into = recorder(tmp_path)
    record(into, one_by_one(400))
    end(into)
    result = run(tmp_path)
    assert result.cases[0].partial
    assert [reason.code for reason in result.verdict.reasons] == ["partial"]


@pytest.mark.parametrize("keep", [0, 5, 30, 150, 250, 400])
def test_a_file_torn_anywhere_is_read_up_to_the_tear(tmp_path: Path, keep: int) -> None:
    """Never an error."""
    into = recorder(tmp_path)
    record(into, one_by_one(10))
    into.flush()
    path = into.paths.requests
    path.write_bytes(path.read_bytes()[:keep])
    into.paths.timeline.write_bytes(b"")
    into.paths.attempts.unlink()
    plan(tmp_path, plan_case())
    result = summarize_run(tmp_path)
    assert result.verdict.status in {"invalid", "inconclusive"}
    for case in result.cases:
        assert case.partial
        assert case.counts.ok <= 3


def test_rows_of_another_width_are_refused(tmp_path: Path) -> None:
    """A file of a later version is not guessed at."""
    into = recorder(tmp_path)
    record(into, one_by_one(1))
    end(into)
    path = into.paths.requests
    _, rows = read(path)
    header = Header("requests", "sync", 0, 0, 5e8, 88)
    path.write_bytes(encode_header(header) + frame(rows.tobytes(), 80))
    with pytest.raises(ValueError, match="expected 80"):
        only(tmp_path)


def test_a_case_that_was_not_run_is_left_out_and_named(tmp_path: Path) -> None:
    """The verdict names it."""
    assert measure_case(plan_case(), tmp_path, Measured(), []) is None
    write_case(tmp_path, "sync", one_by_one(10))
    result = run(tmp_path, "sync", "threads")
    assert [case.name for case in result.cases] == ["sync"]
    assert result.verdict.status == "inconclusive"
    assert "1 of 2 planned cases were not run: threads" in result.verdict.reasons[0].text


def test_a_client_that_died_before_its_first_row_is_a_case_without_data(tmp_path: Path) -> None:
    """Only the facts are there; the exit code is reported."""
    (tmp_path / "records").mkdir()
    write_facts(CaseFacts("sync", exit_code=3), tmp_path)
    result = run(tmp_path)
    assert result.verdict.status == "invalid"
    assert result.verdict.reasons[0].code == "no_data"
    assert "exit code 3" in result.verdict.reasons[0].text


def test_a_run_without_any_record_is_inconclusive(tmp_path: Path) -> None:
    """Stopped before its first case."""
    result = run(tmp_path, "sync")
    assert (result.verdict.status, result.cases) == ("inconclusive", [])
    assert [reason.code for reason in result.verdict.reasons] == ["interrupted", "interrupted"]
    assert exit_code(result) == 5
    assert "nothing to compare" in result.headline


def test_a_whole_run(tmp_path: Path) -> None:
    """Ceiling, share, schedule and command find their way into the result; cases come in the plan's order."""
    write_case(tmp_path, "b", steady(400), ticks=300)
    write_case(tmp_path, "a", steady(400), bad_lines=2, first_bad_line="line 17: text2 is missing")
    result = run(tmp_path, "b", "a", ceilings={"asyncio": 1000.0}, command="paceline compare", notes=["scaled"])
    assert [case.name for case in result.cases] == ["b", "a"]
    first, second = result.cases
    assert first.resources.ceiling_share == pytest.approx(400 / 4.09 / 1000)
    assert first.resources.loop_lag_p99_s == pytest.approx(0.001)
    assert second.resources.loop_lag_p99_s is None
    assert second.warnings == ["skipped 2 malformed input lines; the first: line 17: text2 is missing"]
    assert result.environment == {"os": "x", "command": "paceline compare", "notes": ["scaled"]}
    assert result.schedule_sha256 == "ab"
    assert result.verdict.status == "valid"
    assert sum(bucket.ok for bucket in first.timeline) == 400
    assert 60 <= len(first.timeline) <= 120


def test_exit_codes_of_the_client_are_warned_of(tmp_path: Path) -> None:
    """Even where it had written its end."""
    write_case(tmp_path, "sync", one_by_one(400), facts={"exit_code": 2})
    assert run(tmp_path).cases[0].warnings == ["the client process ended with exit code 2"]


@pytest.mark.parametrize("content", [None, b"{", b'{"id": 3}'])
def test_a_directory_without_a_plan_is_the_users_mistake(tmp_path: Path, content: bytes | None) -> None:
    """One line that names the file."""
    if content is not None:
        (tmp_path / "plan.json").write_bytes(content)
    with pytest.raises(UsageError, match=r"plan\.json"):
        read_plan(tmp_path)

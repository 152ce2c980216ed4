"""What set the pace, and the first line of a report."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from harness.client.types import Attempt, Outcome, Request, Response
from harness.measure.judge.withheld import without_findings_of_invalid
from harness.measure.record import environment as env
from harness.measure.record.plan import CaseFacts, Measured, write_facts, write_measured, write_plan
from harness.measure.record.rows_file import ATTEMPT_DTYPE
from harness.measure.reduce.summary import summarize_run
from harness.measure.result import Case, Counts, Diagnosis, Load, Named, Reason, RunResult, Target, Verdict
from tests.measure_samples import fail, leave, plan, plan_case, request_rows
from tests.unit.recorded import T0, end, one_by_one, record, recorder, request


class Played(msgspec.Struct, frozen=True):
    """A case by its rows."""

    name: str
    rows: Any
    load: Load = Load("backlog")
    attempts: Any = None


def planned(played: Played) -> dict[str, Any]:
    """What a plan holds of its load."""
    load = {"load": Named(played.load.kind, played.load.settings)}
    if not (span_s := played.load.duration_s):
        return load
    return load | {"duration_s": span_s, "scheduled": len(played.rows), "span_s": span_s}


def run(tmp_path: Path, *played: Played, ceiling: float | None = None) -> RunResult:
    """The result of these cases on one target."""
    cases = [plan_case(one.name, **planned(one)) for one in played]
    write_plan(plan(*cases), tmp_path)
    write_measured(Measured(ceilings={} if ceiling is None else {"asyncio": ceiling}), tmp_path)
    for one in played:
        leave(tmp_path, one.rows, case=one.name, attempts=one.attempts)
        write_facts(CaseFacts(one.name, exit_code=0), tmp_path)
    return summarize_run(tmp_path)


def limits(result: RunResult) -> dict[str, str]:
    """Case -> what limited it."""
    return {case.name: case.diagnosis.limited_by for case in result.cases}


SYNC = Played("sync", request_rows(100, service_ms=120, slots=1))


def test_a_server_that_slows_down_is_the_limit(tmp_path: Path) -> None:
    """The article's setting: 50 in flight at 0.120 s could give 416/s; it gave 40/s at 1.25 s each."""
    pressed = Played("queue-stream:concurrency=50", request_rows(1000, service_ms=1250, slots=50))
    result = run(tmp_path, SYNC, pressed, ceiling=2000.0)
    assert limits(result) == {"sync": "strategy", pressed.name: "server"}
    text = result.cases[1].diagnosis.text
    for figure in ("417/s", "50 in flight", "120 ms", "40/s", "1.25 s", "10x", "2 %", "the server was the limit"):
        assert figure in text
    assert pressed.name in result.headline
    assert "The server, not the client" in " ".join(result.findings)


def test_a_constant_server_leaves_the_strategy_as_the_limit(tmp_path: Path) -> None:
    """Four in flight at the idle service time."""
    four = Played("queue-stream:concurrency=4", request_rows(400, service_ms=120, slots=4))
    result = run(tmp_path, SYNC, four)
    assert limits(result)[four.name] == "strategy"
    assert "Little's law allows 33.3/s" in result.cases[1].diagnosis.text


def test_everything_at_once_leaves_nothing_to_send(tmp_path: Path) -> None:
    """The load is the limit of unbounded on a server of unlimited workers."""
    every = Played("unbounded", request_rows(400, service_ms=120, slots=400))
    assert limits(run(tmp_path, SYNC, every))["unbounded"] == "load"


def test_arrivals_answered_on_time_ask_for_no_more(tmp_path: Path) -> None:
    """10/s for 40 s, 10 ms each."""
    arrivals = Played("steady", request_rows(400, gap_ms=100), Load("constant", duration_s=40.0))
    assert limits(run(tmp_path, arrivals)) == {"steady": "load"}


def test_a_server_that_refuses_is_the_limit(tmp_path: Path) -> None:
    """A tenth answered with 429."""
    rows = request_rows(400, service_ms=120)
    fail(rows[::10], Outcome.rejected, 429)
    assert limits(run(tmp_path, Played("a", rows)))["a"] == "server"


def test_a_spread_without_an_idle_yardstick_is_not_called_a_limit(tmp_path: Path) -> None:
    """Fastest answer half of the median, and no case with one in flight: it says what to add."""
    rows = request_rows(400, service_ms=120)
    rows["first_byte"][0] = rows["done"][0] = rows["sent"][0] + 50_000_000
    result = run(tmp_path, Played("a", rows))
    assert limits(result) == {"a": "unknown"}
    assert "-s sync" in result.cases[0].diagnosis.text


def test_backlog_and_arrivals_are_never_ranked_against_each_other(tmp_path: Path) -> None:
    """Each kind has its own sentence."""
    arrivals = Played("steady", request_rows(400, gap_ms=100), Load("constant", duration_s=40.0))
    result = run(tmp_path, SYNC, arrivals)
    headline = result.headline
    assert "fastest" not in " ".join([headline, *result.findings])
    assert "sync answered 100 of 100" in headline
    assert "steady answered 400 of 400" in headline


def test_the_headline_of_nothing_names_no_winner(tmp_path: Path) -> None:
    """Zero successes."""
    rows = fail(request_rows(400), Outcome.server_error, 500)
    result = run(tmp_path, Played("a", rows), Played("b", rows))
    assert "nothing to compare" in result.headline
    assert {case.diagnosis.limited_by for case in result.cases} == {"unknown"}


def test_an_invalid_case_wins_nothing(tmp_path: Path) -> None:
    """The quick one failed half of its items: it is left out, and the headline says not to trust the run."""
    quick = request_rows(400, service_ms=1)
    fail(quick[::2], Outcome.server_error, 500)
    result = run(tmp_path, Played("quick", quick), Played("sound", request_rows(400)), SYNC)
    found = " ".join(result.findings)
    assert "quick is left out" in found
    assert "sound is fastest" in found
    assert result.headline.startswith("Do not trust the run as a whole: quick: 50 % of the requests failed")


def test_an_invalid_case_claims_no_limiting_factor_from_its_times(tmp_path: Path) -> None:
    """Its times are not those of the server. The valid cases beside it keep theirs."""
    pressed = request_rows(1000, service_ms=1250, slots=50)
    fail(pressed[500:550], Outcome.server_error, 500)
    result = run(tmp_path, SYNC, Played("pressed", pressed))
    assert result.verdict.status == "invalid"
    assert limits(result) == {"sync": "strategy", "pressed": "unknown"}
    assert result.cases[1].diagnosis.text.startswith("The measurement is invalid")
    assert "The server, not the client" not in " ".join(result.findings)


def test_what_was_counted_stands_in_an_invalid_case() -> None:
    """Refusals and the client's own use. A reason without a case is one of all cases."""

    def kept(found: Diagnosis, rejected: int = 0, case: str | None = None, code: str = "damaged") -> str:
        counts = Counts(1000, rejected=rejected)
        of = Case("a", Named("a"), Load("backlog"), "t", Target(""), counts=counts, diagnosis=found)
        (after,) = without_findings_of_invalid([of], Verdict("invalid", [Reason(code, "", case)]))
        return after.diagnosis.limited_by

    for factor in ("server", "strategy", "load", "unknown"):
        assert kept(Diagnosis(factor, "x")) == "unknown"  # type: ignore[arg-type] # each is one of them
    assert kept(Diagnosis("client", "x")) == "client"
    assert kept(Diagnosis("server", "x"), rejected=500) == "server"
    assert kept(Diagnosis("server", "x"), case="b") == "server"
    assert kept(Diagnosis("server", "x"), code="wide") == "server"


def test_the_environment_tells_the_machine_and_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts of the hardware and the versions; no environment variable, no host name."""
    monkeypatch.setenv("PACELINE_TARGET_KEY", "very-secret-value")
    text = msgspec.json.encode(facts := env.environment()).decode()
    assert facts["cpu_cores"] >= 1
    assert facts["memory_gb"] > 0
    assert "numpy" in facts["libraries"]
    assert "very-secret-value" not in text
    assert env.platform.node() not in text or len(env.platform.node()) < 4


def test_cpu_limits_of_control_groups(tmp_path: Path) -> None:
    """Both versions; no limit and no group are None."""
    assert env.cgroup_cpu_quota(tmp_path) is None
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert env.cgroup_cpu_quota(tmp_path) == 1.5
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert env.cgroup_cpu_quota(tmp_path) is None
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("50000")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert env.cgroup_cpu_quota(tmp_path) == 0.5


def test_outside_a_repository_there_is_no_commit(tmp_path: Path) -> None:
    """And without /proc/cpuinfo the model is whatever the platform says, or None."""
    assert env.git_sha(tmp_path) is None
    env.cpu_model(tmp_path / "none")


def test_arrivals_are_judged_by_latency_from_due_time(tmp_path: Path) -> None:
    """Two strategies under the same arrivals: the one with the shorter tail is named; who left items unanswered too."""
    load = Load("constant", {"rate_per_s": 10.0}, duration_s=40.0)
    slow = request_rows(400, gap_ms=100, service_ms=50)
    fail(slow[:2], Outcome.timed_out)
    result = run(tmp_path, Played("quick", request_rows(400, gap_ms=100), load), Played("slow", slow, load))
    best, trust = result.findings[-2:]
    assert best.startswith("For arrivals at 10/s: quick has the shortest tail (p99 of latency from due time 10 ms)")
    assert "Only slow (0.5 %) left items unanswered." in best
    assert trust.endswith("The measurement is valid.")
    assert result.headline.startswith("Use quick for arrivals at 10/s: ")


def test_a_client_at_its_ceiling_is_the_limit(tmp_path: Path) -> None:
    """33/s of a ceiling of 40/s."""
    case = run(tmp_path, Played("a", request_rows(400, service_ms=120)), ceiling=40.0).cases[0]
    assert case.diagnosis.limited_by == "client"
    assert "83.3 %" in case.diagnosis.text


def test_retries_that_take_the_time_are_the_servers_doing(tmp_path: Path) -> None:
    """Two attempts a request: the server made them necessary."""
    rows = request_rows(400, service_ms=120)
    rows["attempts"] = 2
    assert limits(run(tmp_path, Played("a", rows), SYNC))["a"] == "server"


def test_a_case_as_fast_as_one_that_found_the_limit_of_the_server_found_it_too(tmp_path: Path) -> None:
    """331/s with 40 in flight beside 336/s with 120: the server had no room, although its service time was low."""
    few = Played("few", request_rows(1200, service_ms=120, slots=40))
    many = Played("many", request_rows(1200, service_ms=357, slots=120))
    result = run(tmp_path, SYNC, few, many)
    assert limits(result) == {"sync": "strategy", "few": "server", "many": "server"}
    assert "more in flight gives no more: the server was the limit" in result.cases[1].diagnosis.text
    assert "had room" not in result.cases[1].diagnosis.text


def test_a_case_slower_than_one_that_found_the_limit_of_the_server_had_room(tmp_path: Path) -> None:
    """167/s with 20 in flight beside 336/s with 120."""
    few = Played("few", request_rows(1200, service_ms=120, slots=20))
    many = Played("many", request_rows(1200, service_ms=357, slots=120))
    assert limits(run(tmp_path, SYNC, few, many))["few"] == "strategy"


def beside(rows: Any, outcome: Outcome, own: bool = False) -> Any:
    """An exchange of 5 ms before each request's own, of this kind."""
    made = np.zeros(len(rows), ATTEMPT_DTYPE)
    made["index"], made["sent"], made["own"], made["outcome"] = rows["index"], rows["sent"], own, outcome
    made["first_byte"] = made["done"] = rows["sent"] + 5_000_000
    made["status"] = 0 if outcome is Outcome.cancelled else 200
    rows["attempts"] = 2
    return made


@pytest.mark.parametrize(
    ("outcome", "own"), [(Outcome.ok, True), (Outcome.timed_out, True), (Outcome.cancelled, False), (Outcome.ok, False)]
)
def test_calls_of_layers_hedges_and_pieces_are_no_retries(outcome: Outcome, own: bool, tmp_path: Path) -> None:
    """An embedding, a hedge whose answer was not needed, a piece of a long text: no server made them necessary."""
    rows = request_rows(400, service_ms=120)
    result = run(tmp_path, Played("a", rows, attempts=beside(rows, outcome, own)), SYNC)
    case = result.cases[0]
    assert case.diagnosis.limited_by == "strategy"
    assert "attempts a request" not in case.diagnosis.text
    assert (case.counts.attempts, case.counts.own_calls, case.counts.side_attempts) == (800, 400 * own, 400 * (not own))
    assert ("Layers made 400 calls of their own" in case.diagnosis.text) is own


def test_attempts_that_failed_are_retries_beside_calls_of_layers(tmp_path: Path) -> None:
    """400 failed and were sent again, after an embedding each."""
    rows = request_rows(400, service_ms=120)
    made = np.concatenate([beside(rows, Outcome.ok, own=True), beside(rows, Outcome.server_error)])
    rows["attempts"] = 3
    case = run(tmp_path, Played("a", rows, attempts=made), SYNC).cases[0]
    assert case.diagnosis.limited_by == "server"
    assert "It took 2 attempts a request" in case.diagnosis.text
    assert "Layers made 400 calls of their own" in case.diagnosis.text


def test_arrivals_that_got_as_much_as_a_case_that_found_the_limit_of_the_server_found_it_too(tmp_path: Path) -> None:
    """400/s were due: 331/s with 40 in flight beside 336/s with 120."""
    load = Load("constant", {"rate_per_s": 400.0}, duration_s=5.0)
    few = Played("few", request_rows(2000, service_ms=120, slots=40, gap_ms=2.5), load)
    many = Played("many", request_rows(2000, service_ms=357, slots=120, gap_ms=2.5), load)
    result = run(tmp_path, SYNC, few, many)
    assert limits(result) == {"sync": "strategy", "few": "server", "many": "server"}
    assert "more in flight gives no more: the server was the limit" in result.cases[1].diagnosis.text


def test_arrivals_of_another_load_are_no_yardstick(tmp_path: Path) -> None:
    """Their rate is that of their load, not only of the server."""
    few = Played("few", request_rows(2000, service_ms=120, slots=40, gap_ms=2.5), Load("constant", {}, None, 5.0))
    many = Played("many", request_rows(2000, service_ms=357, slots=120, gap_ms=2.4), Load("constant", {}, None, 4.8))
    assert limits(run(tmp_path, SYNC, few, many))["few"] == "strategy"


def test_a_layers_quick_calls_give_no_case_the_shortest_tail(tmp_path: Path) -> None:
    """Half are hits of a semantic cache, each after an embedding of 5 ms; the others take as long as ever."""
    hit = Response(Outcome.ok, 200, done=T0 + 0.005, from_cache=True)
    hit.previous = (Attempt(T0, T0 + 0.005, T0 + 0.005, Outcome.ok, 200, own=True),)
    write_plan(plan(plan_case("semantic"), plan_case("sync")), tmp_path)
    write_measured(Measured(), tmp_path)
    leave(tmp_path, SYNC.rows, case="sync")
    into = recorder(tmp_path, "semantic")
    record(into, one_by_one(100, service_s=0.12))

    async def hits() -> None:
        async def send(_: Request, /) -> Response:
            return hit

        for index in range(100):
            await into.layer(send)(request(100 + index))

    asyncio.run(hits())
    end(into)
    for name in ("semantic", "sync"):
        write_facts(CaseFacts(name, exit_code=0), tmp_path)
    result = summarize_run(tmp_path)
    assert "shortest tail" not in " ".join([result.headline, *result.findings])
    assert result.cases[0].service_time_s.min == pytest.approx(0.12)
    assert result.verdict.status == "valid"


ARRIVALS = Load("constant", {"rate_per_s": 400.0}, duration_s=5.0)


@pytest.mark.parametrize(("load", "limit"), [(Load("backlog"), "server"), (ARRIVALS, "strategy")])
def test_a_server_is_no_limit_of_arrivals_where_another_case_got_much_more(
    load: Load, limit: str, tmp_path: Path
) -> None:
    """83/s with 20 in flight at twice the idle time, beside 250/s with 100: the first had room that it did not use."""
    gap_ms = None if load.kind == "backlog" else 2.5
    few = Played("few", request_rows(2000, service_ms=240, slots=20, gap_ms=gap_ms), load)
    many = Played("many", request_rows(2000, service_ms=400, slots=100, gap_ms=gap_ms), load)
    result = run(tmp_path, SYNC, few, many)
    assert limits(result) == {"sync": "strategy", "few": limit, "many": "server"}
    if limit == "server":
        return
    assert "many had 100 in flight and gave" in result.cases[1].diagnosis.text
    assert "the server was the limit" not in result.cases[1].diagnosis.text


def test_a_server_that_refuses_is_the_limit_whatever_others_got(tmp_path: Path) -> None:
    """What it refused it had no room for."""
    few = request_rows(2000, service_ms=240, slots=20, gap_ms=2.5)
    fail(few[::10], Outcome.rejected, 429)
    many = Played("many", request_rows(2000, service_ms=400, slots=100, gap_ms=2.5), ARRIVALS)
    assert limits(run(tmp_path, SYNC, Played("few", few, ARRIVALS), many))["few"] == "server"

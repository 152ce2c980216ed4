"""The verdict: every code has a run that earns it, by a figure beyond its limit and not by one within it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from harness.measure.judge.codes import CODES
from harness.measure.judge.headline import headline
from harness.measure.judge.verdict import exit_code, verdict
from harness.measure.reduce.counting import Evidence
from harness.measure.reduce.silence import Silence
from harness.measure.result import (
    Case,
    Counts,
    Distribution,
    LayerFigures,
    Load,
    Named,
    Quantile,
    Resources,
    RunResult,
    SloCheck,
    Target,
    Verdict,
)

SOUND = Evidence("a", rows=1000, recorded=1000, on_wire=1000, answered=1000, lag=("p99", 0.0004), send_share=1.0)


def case(kind: str = "backlog", **more: Any) -> Case:
    """A case of 1000 items that all went well."""
    counts = Counts(scheduled=1000, sent=1000, ok=1000, attempts=1000, server_seen=1000, locust_seen=1000)
    defaults = {"counts": counts, "latency_s": Distribution(n=1000, p50=Quantile(0.01))}
    return Case("a", Named("sync"), Load(kind), "similarity", Target("http://x"), **{**defaults, **more})


def codes(of: Case, slo_sets_errors: bool = False, **proof: Any) -> list[str]:
    """The codes that a case earns, with this evidence differing from a sound one's."""
    found = verdict([of], [msgspec.structs.replace(SOUND, **proof)], slo_sets_errors=slo_sets_errors)
    assert all(reason.case == "a" and reason.code in CODES for reason in found.reasons)
    assert all(reason.text[0].isupper() or reason.text[0].isdigit() for reason in found.reasons)
    assert found.status == ("valid" if not found.reasons else found.status)
    return [reason.code for reason in found.reasons]


def counted(**more: Any) -> Counts:
    """A sound case's counts with some of them changed."""
    return msgspec.structs.replace(case().counts, **more)


def test_a_sound_case_is_valid() -> None:
    """Backlog or arrivals."""
    assert codes(case()) == []
    assert codes(case("poisson")) == []


def test_no_success_is_no_data() -> None:
    """With what became of them instead."""
    none = case(counts=Counts(scheduled=9, connection_error=9, attempts=9))
    found = verdict([none], [msgspec.structs.replace(SOUND, answered=0, exit_codes=[1])])
    assert found.status == "invalid"
    assert ": 9 connection errors." in found.reasons[0].text
    assert "exit code 1" in found.reasons[0].text
    assert verdict([], []).reasons[0].code == "no_data"


def test_a_client_that_failed_is_not_blamed_on_the_server() -> None:
    """No advice about the target where the client has an error of its own."""
    none = case(counts=Counts(scheduled=9, connection_error=9, attempts=9))
    found = verdict([none], [msgspec.structs.replace(SOUND, answered=0, errors=["no free file descriptor"])])
    assert [reason.code for reason in found.reasons][:2] == ["no_data", "engine_error"]
    assert found.reasons[0].text.endswith("The client itself failed, see below.")


@pytest.mark.parametrize(
    ("counts", "proof", "expected"),
    [
        ({"scheduled": 9, "not_sent": 9}, {}, ["interrupted"]),
        ({"scheduled": 9, "not_sent": 5, "unfinished": 3, "cancelled": 1}, {}, ["interrupted"]),
        ({}, {"exit_codes": [-15]}, ["interrupted"]),
        ({"scheduled": 9, "not_sent": 8, "client_error": 1}, {}, ["no_data", "interrupted"]),
        ({"scheduled": 9, "not_sent": 9}, {"errors": ["no such task"]}, ["no_data", "engine_error", "interrupted"]),
    ],
)
def test_a_stop_before_the_first_answer_says_so(
    counts: dict[str, int], proof: dict[str, Any], expected: list[str]
) -> None:
    """It is inconclusive, and no advice about the target, unless a request failed before the stop."""
    none = case(counts=Counts(**{"scheduled": 0, **counts}), partial=True)
    rows = {"rows": 0, "recorded": 0, "on_wire": 0, "answered": 0, "interrupted": ["stopped by the user"]}
    found = verdict([none], [msgspec.structs.replace(SOUND, **rows, **proof)])
    assert [reason.code for reason in found.reasons] == expected
    if expected == ["interrupted"]:
        assert found.status == "inconclusive"
        assert found.reasons[0].text.startswith("It was stopped before the first answer (stopped by the user)")
        assert "stopped before the first answer" in headline([none], found)


@pytest.mark.parametrize(
    ("counts", "proof"),
    [
        ({"scheduled": 1001}, {}),
        ({"ok": 1001}, {}),
        ({}, {"rows": 999}),
        ({}, {"repeated": 1}),
        ({"locust_seen": 999}, {}),
    ],
)
def test_what_does_not_add_up_is_invalid(counts: dict[str, int], proof: dict[str, Any]) -> None:
    """Items and outcomes, rows and ends, Locust's totals and ours."""
    assert codes(case(counts=counted(**counts)), **proof) == ["conservation"]


@pytest.mark.parametrize(
    ("seen", "proof", "expected"),
    [
        (999, {}, ["server_count"]),
        (1001, {}, ["server_count"]),
        (999, {"answered": 998}, []),  # two exchanges without a status: the server may not have seen them
        (997, {"answered": 998}, ["server_count"]),
        (1003, {"cut": 3}, []),  # three requests were cut while perhaps in flight
        (1004, {"cut": 3}, ["server_count"]),
        (None, {}, []),
        (5, {"killed": 1}, ["partial"]),
    ],
)
def test_the_servers_count_must_be_ours(seen: int | None, proof: dict[str, Any], expected: list[str]) -> None:
    """Exactly, but for exchanges whose fate nobody can know."""
    of = case(counts=counted(server_seen=seen), partial=bool(proof.get("killed")))
    assert codes(of, **proof) == expected
    if expected == ["server_count"]:
        (reason,) = verdict([of], [msgspec.structs.replace(SOUND, **proof)]).reasons
        assert ("The server was restarted" if (seen or 0) < 1000 else "Another client uses the server") in reason.text


@pytest.mark.parametrize(
    ("kind", "use", "expected"),
    [
        ("backlog", {"ceiling_share": 0.69, "ceiling_per_s": 100.0}, []),
        ("backlog", {"ceiling_share": 0.71, "ceiling_per_s": 100.0}, ["client_ceiling"]),
        ("backlog", {"client_cpu_share": 0.99}, []),
        ("poisson", {"client_cpu_share": 0.79}, []),
        ("poisson", {"client_cpu_share": 0.81}, ["client_ceiling"]),
    ],
)
def test_a_client_at_its_ceiling_measures_itself(kind: str, use: dict[str, float], expected: list[str]) -> None:
    """By its calibrated rate; by its CPU where it must keep a schedule."""
    assert codes(case(kind, resources=Resources(**use))) == expected


@pytest.mark.parametrize(("rejected", "code"), [(999, "refusals"), (501, "refusals"), (499, "client_ceiling")])
def test_a_client_that_is_refused_at_once_runs_at_its_ceiling(rejected: int, code: str) -> None:
    """The rate of refusals is its own; what the server answered is not."""
    counts = counted(ok=1000 - rejected, rejected=rejected)
    of = case(counts=counts, resources=Resources(ceiling_share=0.9, ceiling_per_s=100.0))
    assert codes(of, slo_sets_errors=True) == [code]
    # Arrivals have a schedule, which a busy core delays, refused or not.
    busy = Resources(ceiling_share=0.9, ceiling_per_s=100.0, client_cpu_share=0.9)
    assert set(codes(case("poisson", counts=counts, resources=busy), slo_sets_errors=True)) == {code, "client_ceiling"}


@pytest.mark.parametrize(
    ("lag_s", "p50_s", "expected"),
    [
        (0.0009, 0.001, []),
        (0.0011, 0.001, ["lag"]),
        (0.0049, 0.1, ["lag_bound"]),
        (0.0051, 0.1, ["lag"]),
        (0.0011, None, ["lag"]),
    ],
)
def test_a_late_load_is_invalid(lag_s: float, p50_s: float | None, expected: list[str]) -> None:
    """Beyond a millisecond and 5 % of the median latency; a backlog has no lateness."""
    latency = Distribution(n=1000, p50=Quantile(p50_s))
    assert codes(case("constant", latency_s=latency), lag=("p99", lag_s)) == expected
    assert codes(case("backlog", latency_s=latency), lag=("p99", lag_s)) == []


@pytest.mark.parametrize(("share", "reported"), [(None, False), (0.01, False), (0.13, True)])
def test_a_late_load_tells_what_the_host_took(share: float | None, reported: bool) -> None:
    """Steal is named as a likely cause where there was much of it."""
    late = case("constant", resources=Resources(host_steal_share=share))
    (reason,) = verdict([late], [msgspec.structs.replace(SOUND, lag=("p99", 1.0))]).reasons
    assert ("The host gave 13 % of the requested CPU time to other machines (steal)." in reason.text) is reported


def test_a_load_that_cannot_keep_its_rate_is_invalid() -> None:
    """Given out at less than 99 % of the rate offered."""
    assert codes(case("constant"), send_share=0.989) == ["lag"]
    assert codes(case("constant"), send_share=0.991, lag=None) == []


def test_failures_beyond_one_in_a_hundred_are_invalid_unless_the_user_bounds_them() -> None:
    """The text names the outcome and that figures are of successes."""
    failed = counted(ok=500, rejected=490, timed_out=10)
    assert codes(case(counts=failed)) == ["errors"]
    assert codes(case(counts=failed), slo_sets_errors=True) == []
    assert codes(case(counts=counted(ok=990, rejected=10))) == []
    (reason,) = verdict([case(counts=failed)], [SOUND]).reasons
    assert reason.text.startswith(
        "50 % of the requests failed (500 of 1000; the limit is 1 %), 490 of them rejected (429, 503 or 529)."
    )
    assert "the 500 successes only" in reason.text


def test_a_server_that_is_gone_is_invalid_whatever_the_user_bounds() -> None:
    """One reason for its failures. A server that only hangs is reported with the failures."""
    failed = counted(ok=600, connection_error=400)
    gone, hung = Silence(1.5, 400, refused=True), Silence(1.5, 400, refused=False)
    assert codes(case(counts=failed), False, silence=gone) == ["server_gone"]
    assert codes(case(counts=failed), slo_sets_errors=True, silence=gone) == ["server_gone"]
    assert codes(case(counts=failed), silence=hung) == ["errors"]
    (reason,) = verdict([case(counts=failed)], [msgspec.structs.replace(SOUND, silence=hung)]).reasons
    assert "400 of 1000" in reason.text
    assert "nothing was answered after 1.5 s" in reason.text


def test_reasons_that_decide_come_first() -> None:
    """Invalid, inconclusive, valid; the first line is what a person reads."""
    layer = LayerFigures("cache", {}, {}, ["its file failed"])
    left = counted(ok=500, rejected=400, unfinished=100)
    assert codes(case(counts=left, layer_figures=[layer])) == ["errors", "unfinished", "layer_fault"]


def test_what_was_left_at_the_end_is_inconclusive() -> None:
    """A saturated strategy's longest latencies are missing."""
    left = counted(ok=900, unfinished=20, not_sent=80)
    found = verdict([case(counts=left)], [SOUND])
    assert (found.status, found.reasons[0].code) == ("inconclusive", "unfinished")
    assert codes(case(counts=counted(ok=995, not_sent=5))) == []


def test_turns_after_a_failed_one_are_missing() -> None:
    """They are no items without an answer at the end; one reason says why they were not sent."""
    left = counted(ok=980, server_error=5, not_sent=15, skipped=15)
    assert codes(case("sessions", counts=left)) == ["abandoned"]
    assert codes(case("sessions", counts=counted(ok=990, server_error=5, not_sent=5, skipped=5))) == []


def test_streams_that_were_cancelled_on_purpose_are_no_failures() -> None:
    """Those that the client gave up for another reason are."""
    assert codes(case("sessions", counts=counted(ok=900, cancelled=100, stopped=100))) == []
    assert codes(case("sessions", counts=counted(ok=900, cancelled=100, stopped=20))) == ["errors"]


def test_an_interruption_is_inconclusive_and_explains_what_was_left() -> None:
    """One reason, not two."""
    left = counted(ok=900, unfinished=20, not_sent=80)
    assert codes(case(counts=left, partial=True), interrupted=["stopped by the user"]) == ["interrupted"]
    assert verdict([case()], [msgspec.structs.replace(SOUND, interrupted=["Ctrl-C"])]).status == "inconclusive"
    assert verdict([case()], [SOUND], not_run=["b"]).reasons[0].text == "1 of 2 planned cases were not run: b."


def test_a_failed_client_is_invalid() -> None:
    """Its own failure, and records that could not be written."""
    assert codes(case(), errors=["KeyError: x"]) == ["engine_error"]
    lost = {"write_errors": ["could not write records: No space left on device; 9 rows are lost"], "lost_rows": 9}
    assert codes(case(counts=counted(ok=991)), **lost) == ["write_error"]
    assert codes(case(), errors=["could not write a poem"]) == ["engine_error"], "the wording decides nothing"


def test_a_fault_of_a_layer_is_said_and_leaves_the_run_valid() -> None:
    """It hides nothing: beside a reason of another kind, that one decides."""
    faulty = case(layer_figures=[LayerFigures("cache", {"hits": 1}, faults=["its file failed"])])
    assert codes(faulty) == ["layer_fault"]
    assert verdict([faulty], [SOUND]).status == "valid"
    stopped = msgspec.structs.replace(SOUND, interrupted=["Ctrl-C"])
    assert verdict([faulty], [stopped]).status == "inconclusive"
    assert verdict([faulty], [msgspec.structs.replace(SOUND, errors=["KeyError: x"])]).status == "invalid"


def test_certificates_that_were_not_checked_are_named_once_for_the_run() -> None:
    """The figures are as good as others; whose they are is open."""
    found = verdict([case(), case()], [SOUND, SOUND], insecure=True)
    assert (found.status, [reason.code for reason in found.reasons]) == ("valid", ["insecure"])
    assert "--insecure" in found.reasons[0].text


def test_every_code_is_earned_by_a_test_here() -> None:
    """The table of codes has no dead entry."""
    tested = {
        *("no_data", "conservation", "server_count", "client_ceiling", "lag", "errors", "server_gone"),
        "refusals",
        *("schedule", "engine_error", "write_error", "damaged", "unfinished", "interrupted", "partial", "layer_fault"),
        *("insecure", "abandoned"),
        # test_measure_starved.py
        *("client_starved", "client_time", "lag_bound"),
        # test_trace_instants.py
        "instants",
        # test_measure_bursts.py
        "bursts",
        # test_self_test_store.py
        *("known_ceiling", "known_mock_ceiling", "known_timing_error"),
        # Of whole searches: test_capacity_probes.py.
        *("capacity", "capacity_invalid"),
        # Of a whole sweep: tests/simulation/sweep/test_verdict.py.
        "slo_unclear",
        # test_gate_bound.py
        "own_bound",
        # test_precision.py, test_warmup.py, test_drift.py
        *("wide", "unsettled", "drift"),
    }
    assert tested == set(CODES)


@pytest.mark.parametrize(
    ("status", "passed", "ok", "expected"),
    [
        ("valid", [], 1, 0),
        ("valid", [True, True], 1, 0),
        ("valid", [True, False], 1, 1),
        ("invalid", [True], 1, 4),
        ("invalid", [False], 1, 4),
        ("inconclusive", [True], 1, 5),
        ("inconclusive", [False], 1, 1),
        ("valid", [], 0, 4),
        ("invalid", [], 0, 4),
        ("inconclusive", [], 0, 5),
        ("inconclusive", [False], 0, 5),
    ],
)
def test_exit_codes(status: Any, passed: list[bool], ok: int, expected: int) -> None:
    """Invalid beats a failed SLO, which beats inconclusive; nothing passes on no data."""
    checks = [SloCheck("p99<1s", 0.5, 1.0, one) for one in passed]
    of = case(slo=checks, counts=Counts(scheduled=1, ok=ok))
    result = RunResult(1, "x", "now", {}, {}, 1, None, Verdict(status), "", [of])
    assert exit_code(result) == expected

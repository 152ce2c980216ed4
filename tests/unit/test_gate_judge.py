"""The gate's decisions on made-up runs."""

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

import msgspec
import pytest

from harness.measure.gate_result import Gate
from harness.measure.judge.conditions import FinishedRun
from harness.measure.judge.gate import EXIT_CODES, judge
from harness.measure.judge.gate_advice import advice
from harness.measure.judge.slo import check, parse
from harness.measure.repeat_figures import Points, RepeatFigures
from harness.measure.result import Case, Counts, Distribution, Load, Named, Quantile, Reason, RunResult, Target, Verdict
from reports.gate import junit, markdown, text
from tests.unit.test_export_formats import valid_junit

NOISE = (1.0, 1.002, 0.999, 1.001, 0.998, 1.003, 1.0, 0.997)


def run(name: str, latencies_s: Sequence[float | None], slo: str = "", interval: Quantile | None = None) -> FinishedRun:
    """A run of arrivals whose repeats have these medians."""
    repeats = [
        RepeatFigures(number, 100, 100, latency_s=Points(p50=value, p95=value))
        for number, value in enumerate(latencies_s)
    ]
    case = Case(
        name="adaptive",
        strategy=Named("adaptive"),
        load=Load("poisson"),
        task="chat",
        target=Target(""),
        by_repeat=repeats,
        counts=Counts(scheduled=100, ok=100),
        latency_s=Distribution(n=100, p50=interval or Quantile(0.1)),
    )
    case = msgspec.structs.replace(case, slo=check(parse(slo), case) if slo else [])
    return FinishedRun(RunResult(1, name, "", {}, {}, 1, None, Verdict("valid"), "", [case]))


BASE = run("main", [0.1 * noise for noise in NOISE])


def slower(factor: float) -> FinishedRun:
    return run("branch", [0.1 * factor * noise for noise in reversed(NOISE)])


@pytest.mark.parametrize(
    ("factor", "status"), [(1.0, "passed"), (0.8, "passed"), (1.05, "failed"), (1.02, "inconclusive")]
)
def test_a_regression_is_judged_by_its_whole_interval(factor: float, status: str) -> None:
    """Only a change for the worse; one at the limit is neither."""
    assert judge(BASE, slower(factor)).status == status


def test_a_missing_figure_fails() -> None:
    """Also after further pairs, in which it cannot fail again."""
    for confirmed_from in (None, 4):
        found = judge(BASE, run("branch", [None] * 8), confirmed_from=confirmed_from)
        assert found.status == "failed"
        assert "no repeat has this figure on both sides" in found.text


def test_a_figure_that_some_repeats_lack_does_not_pass() -> None:
    found = judge(BASE, run("branch", [*(0.1 * noise for noise in NOISE[:6]), None, None]))
    assert found.status == "inconclusive"
    assert "missing in 2 repeats" in found.text


def test_failures_of_the_candidate_are_a_finding_and_no_invalid_measurement() -> None:
    """Of the baseline they are: nothing can be held against it. No answer at all is a measurement of nothing."""
    errors = Verdict("invalid", [Reason("errors", "10 % failed.", "adaptive")])
    failing = with_failures(slower(1.0), 10)
    found = judge(BASE, FinishedRun(msgspec.structs.replace(failing.result, verdict=errors)))
    assert (found.status, found.reasons) == ("failed", [])
    assert "share of failures" in found.text
    assert judge(FinishedRun(msgspec.structs.replace(failing.result, verdict=errors)), BASE).status == "invalid"
    nothing = Verdict("invalid", [Reason("no_data", "No request had an answer.", "adaptive")])
    dead = with_failures(slower(1.0), 100)
    assert judge(BASE, FinishedRun(msgspec.structs.replace(dead.result, verdict=nothing))).status == "invalid"


def with_failures(finished: FinishedRun, failed: int) -> FinishedRun:
    """The same run with this many failures in 100 items of each repeat."""
    (case,) = finished.result.cases
    repeats = [msgspec.structs.replace(repeat, ok=100 - failed) for repeat in case.by_repeat]
    cases = [msgspec.structs.replace(case, by_repeat=repeats)]
    return FinishedRun(msgspec.structs.replace(finished.result, cases=cases))


def test_an_interrupted_measurement_does_not_pass() -> None:
    stopped = Verdict("inconclusive", [Reason("interrupted", "The run was stopped.", "adaptive")])
    found = judge(BASE, FinishedRun(msgspec.structs.replace(slower(1.0).result, verdict=stopped)))
    assert (found.status, EXIT_CODES[found.status]) == ("inconclusive", 5)
    assert "The run was stopped." in found.text


def test_runs_without_a_common_case_are_an_invalid_measurement() -> None:
    other = slower(1.0)
    renamed = [msgspec.structs.replace(case, name="sync") for case in other.result.cases]
    found = judge(BASE, FinishedRun(msgspec.structs.replace(other.result, cases=renamed)))
    assert found.status == "invalid"
    assert EXIT_CODES[found.status] == 4


def test_an_invalid_side_decides_nothing() -> None:
    bad = Verdict("invalid", [Reason("lag", "The load generator fell behind schedule.", "adaptive")])
    found = judge(BASE, FinishedRun(msgspec.structs.replace(slower(1.2).result, verdict=bad)))
    assert found.status == "invalid"
    assert found.reasons == ["candidate: adaptive: The load generator fell behind schedule."]
    # The terminal has the reason once.
    shown = text(found, [])
    assert shown.count("The load generator fell behind schedule.") == 1
    assert "gate: invalid, for the reason above" in shown


def test_a_stop_is_inconclusive_unless_something_else_is_invalid() -> None:
    """Also before the first answer, and whatever the checks say so far."""
    stop = Reason("interrupted", "It was stopped before its end.", "adaptive")
    whole = slower(1.2).result
    stopped = FinishedRun(msgspec.structs.replace(whole, verdict=Verdict("inconclusive", [stop])))
    found = judge(BASE, stopped, confirmed_from=99)
    assert (found.status, EXIT_CODES[found.status]) == ("inconclusive", 5)
    assert found.notes == ["candidate: adaptive: It was stopped before its end."]
    assert judge(BASE, stopped).status == "inconclusive"
    early = FinishedRun(msgspec.structs.replace(stopped.result, cases=[]))
    assert judge(BASE, early).status == "inconclusive"
    bad = Verdict("invalid", [stop, Reason("damaged", "Recorded data is damaged.", "adaptive")])
    assert judge(BASE, FinishedRun(msgspec.structs.replace(whole, verdict=bad)), confirmed_from=99).status == "invalid"


def test_too_few_pairs_are_inconclusive_and_their_number_is_named() -> None:
    found = judge(run("main", [0.1] * 4), run("branch", [0.2] * 4))
    assert found.status == "inconclusive"
    assert "are needed" in found.text


def test_a_failure_counts_only_if_it_repeats_itself_in_later_pairs() -> None:
    calm, bad = [0.1 * noise for noise in NOISE], [0.12 * noise for noise in NOISE]
    baseline = run("main", calm + calm)
    assert judge(baseline, run("branch", bad + bad), confirmed_from=8).status == "failed"
    once = judge(baseline, run("branch", bad + bad[:2] + calm[2:]), confirmed_from=8)
    assert judge(baseline, run("branch", bad + bad[:2] + calm[2:])).status == "failed"
    assert once.status == "inconclusive"
    assert any("not confirmed" in one.text for one in once.checks)
    assert (once.pairs, once.confirmation) == (8, 8)


def test_each_of_two_tests_asks_about_one_figure_and_one_side() -> None:
    """Two of eight pairs below the limit would not be enough for three figures and both sides at once."""
    noisy = (1.05, 1.06, 1.04, 1.05, 1.012, 1.07, 1.008, 1.05)
    baseline, later = run("main", [0.1] * 16), [0.1 * factor for factor in noisy]
    found = judge(baseline, run("branch", later * 2), confirmed_from=8)
    assert found.status == "failed"
    (check, *_) = found.checks
    assert check.figure is not None
    assert check.text.endswith("confirmed by further pairs")


@pytest.mark.parametrize("confirmed_from", [8, 16])
def test_neither_test_alone_makes_a_failure(confirmed_from: int) -> None:
    """Pairs that are bad in the confirmation only, and a confirmation that was never played."""
    bad, calm = [0.12 * noise for noise in NOISE], [0.1 * noise for noise in NOISE]
    baseline = run("main", calm * 2)
    candidate = run("branch", calm + bad if confirmed_from == 8 else bad * 2)
    assert judge(baseline, candidate, confirmed_from=confirmed_from).status == "inconclusive"


@pytest.mark.parametrize(
    ("interval", "status"),
    [
        (Quantile(0.1, 0.09, 0.11), "passed"),
        (Quantile(0.1, 0.09, 0.13), "inconclusive"),
        (Quantile(0.13, 0.12, 0.14), "failed"),
        (Quantile(), "failed"),
        (Quantile(0.1), "passed"),
    ],
)
def test_an_slo_is_judged_by_the_interval_where_there_is_one(interval: Quantile, status: str) -> None:
    candidate = run("branch", [0.1 * noise for noise in NOISE], "p50<115ms", interval)
    (found,) = [one for one in judge(BASE, candidate).checks if one.kind == "slo"]
    assert found.status == status


def test_a_failed_condition_of_the_slo_must_fail_again() -> None:
    """By the median of the repeats that were played to confirm it."""
    broken, held = [0.2 * noise for noise in NOISE], [0.1 * noise for noise in NOISE]
    interval = Quantile(0.2, 0.19, 0.21)
    baseline = run("main", [0.2] * 16)
    fine = run("branch", held + broken, "p50<150ms", Quantile(0.12, 0.11, 0.13))
    assert [one.status for one in judge(baseline, fine, confirmed_from=8).checks if one.kind == "slo"] == ["passed"]
    for later, status in ((broken, "failed"), (held, "inconclusive")):
        gate = judge(baseline, run("branch", broken + later, "p50<150ms", interval), confirmed_from=8)
        (found,) = [check for check in gate.checks if check.kind == "slo"]
        assert found.status == status


def gates() -> list[Gate]:
    return [judge(BASE, slower(1.0)), judge(BASE, slower(1.2)), judge(BASE, slower(1.02)), judge(BASE, run("x", []))]


def test_junit_has_a_test_for_each_check_and_counts_them() -> None:
    for gate in gates():
        suite, *rest = valid_junit(junit(gate))
        assert not rest or gate.status == "invalid"
        tests = suite.findall("testcase")
        assert int(suite.attrib["tests"]) == len(tests) >= 1
        for kind, tag in (("failures", "failure"), ("skipped", "skipped"), ("errors", "error")):
            assert int(suite.attrib[kind]) == sum(test.find(tag) is not None for test in tests)
    failed = ET.fromstring(junit(gates()[1]))  # noqa: S314 - our own text
    assert "x1.2" in failed.find(".//failure").attrib["message"]  # type: ignore[union-attr] # it is there


def test_characters_that_xml_cannot_hold_are_replaced() -> None:
    gate = msgspec.structs.replace(gates()[0], baseline='a\x00<&"b')
    assert ET.fromstring(junit(gate)).find(".//property").attrib["value"] == 'a <&"b'  # type: ignore[union-attr] # noqa: S314


def test_the_summary_begins_with_the_verdict() -> None:
    for gate in gates():
        assert markdown(gate).startswith("# ")
        assert gate.status in markdown(gate).splitlines()[0]


@pytest.mark.parametrize("fails_again", [True, False])
def test_a_failure_of_an_unpaired_candidate_is_confirmed_against_the_whole_baseline(fails_again: bool) -> None:
    """The baseline was played earlier: it has no later repeats."""
    bad, calm = [0.12 * noise for noise in NOISE], [0.1 * noise for noise in NOISE]
    candidate = run("branch", bad + (bad if fails_again else calm))
    found = judge(BASE, candidate, paired=False, confirmed_from=8)
    assert (found.status == "failed") is fails_again


def test_an_inconclusive_figure_says_how_many_pairs_would_decide() -> None:
    """So many do decide: the same noise at this number of pairs gives an answer."""
    noise = (1.0, 1.06, 0.95, 1.04, 0.96, 1.05, 0.97, 1.02)
    baseline, candidate = [0.1] * 8, [0.1 * one for one in noise]
    (check, *_) = judge(run("main", baseline), run("branch", candidate)).checks
    assert check.status == "inconclusive"
    found = re.search(r"about (\d+) pairs would decide", check.remark)
    assert found
    times = math.ceil(int(found[1]) / 8)
    assert 2 <= times <= 30
    (decided, *_) = judge(run("main", baseline * times), run("branch", candidate * times)).checks
    assert decided.status == "passed"


def test_a_change_of_the_size_of_the_limit_is_never_decided() -> None:
    candidate = run("branch", [0.102 * noise for noise in NOISE])
    (check, *_) = judge(run("main", [0.1] * 8), candidate).checks
    assert check.remark == "the change is about as large as the limit"


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        (slower(1.0), ""),
        (slower(1.05), ""),
        (slower(1.02), "choose another --limit"),
        (run("branch", [0.1 * noise for noise in NOISE[:3]]), "use at least --pairs 5"),
        (run("branch", [0.1] * 8, "p50<100ms", Quantile(0.1, 0.09, 0.11)), "for an SLO whose interval contains"),
    ],
)
def test_an_inconclusive_gate_says_what_to_do(candidate: FinishedRun, expected: str) -> None:
    found = advice(judge(BASE, candidate))
    assert expected in found
    assert bool(expected) == bool(found)


def test_a_noisy_baseline_asks_for_longer_trials_and_more_pairs() -> None:
    noisy = [0.1 * (1 + 20 * (noise - 1)) for noise in NOISE]
    gate = judge(run("main", noisy), run("branch", noisy[::-1]))
    found = advice(gate)
    assert gate.status == "inconclusive"
    assert "make them longer" in found
    assert re.search(r"about --pairs-max \d+ would decide", found)
    assert found in text(gate, [])
    assert found in markdown(gate)

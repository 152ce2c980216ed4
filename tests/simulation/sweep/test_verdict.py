"""Verdict and exit code of a sweep."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from harness.measure.judge.sweep.verdict import sweep_verdict
from harness.measure.judge.sweep.wording import headline, rows
from harness.measure.judge.verdict import exit_code
from harness.measure.result import Quantile, Reason, RunResult, Verdict
from harness.measure.sweep_result import SweepResult
from tests.simulation.sweep.made_up import VALID, case, curve, judged
from tests.simulation.sweep.test_judgement import CAP, LEVELS


def code_of(found: SweepResult, of_cases: Verdict = VALID) -> tuple[str, int]:
    """The status and the exit code."""
    verdict = sweep_verdict(found, of_cases)
    result = RunResult(1, "x", "", {}, {}, 1, None, verdict, headline(found, verdict), [], sweep=found)
    return verdict.status, exit_code(result)


def reasons(code: str, levels: Sequence[float]) -> Verdict:
    """A verdict on the cases of these levels."""
    return Verdict("invalid", [Reason(code, "Because.", f"concurrency={level:g}") for level in levels])


def test_a_sweep_that_was_played_to_its_end_is_valid() -> None:
    assert code_of(judged(curve(CAP))) == ("valid", 0)


def test_failures_at_high_levels_are_findings() -> None:
    of_cases = reasons("errors", [32, 64])
    assert code_of(judged(curve(CAP), verdict=of_cases), of_cases) == ("valid", 0)


@pytest.mark.parametrize("levels", [LEVELS, LEVELS[:1]])
def test_failures_at_the_lowest_level_make_it_invalid(levels: Sequence[float]) -> None:
    """The load is not their cause: a level with 95 % of failures must not be advised with exit code 0."""
    found = judged([case(level, [rate], failed=19_000) for level, rate in CAP.items()])
    assert code_of(found, reasons("errors", levels)) == ("invalid", 4)
    assert [one.case for one in sweep_verdict(found, reasons("errors", levels)).reasons] == ["concurrency=1"]


def test_a_sweep_without_a_success_is_invalid() -> None:
    of_cases = reasons("no_data", LEVELS)
    found = judged([case(level, [0.0], failed=10) for level in LEVELS])
    assert code_of(found, of_cases) == ("invalid", 4)


@pytest.mark.parametrize(
    ("levels", "expected"),
    [([64], ("valid", 0)), ([16, 32, 64], ("inconclusive", 5)), ([4, 8, 16, 32, 64], ("invalid", 4))],
)
def test_levels_at_which_the_client_was_starved(levels: list[float], expected: tuple[str, int]) -> None:
    """Without them the knee stands, lies at the edge of what is left, or cannot be found."""
    of_cases = reasons("client_starved", levels)
    found = judged(curve(CAP), verdict=of_cases)
    assert code_of(found, of_cases) == expected
    if expected[0] == "inconclusive":
        assert "Measure the levels above it again." in found.advice


def test_a_level_that_is_not_judged_has_no_finding_on_the_slo() -> None:
    """Below the highest level it does not ask for the levels above to be measured again, either."""
    rising = curve({1.0: 10.0, 2.0: 20.0, 4.0: 40.0, 8.0: 80.0})
    found = judged(rising, "service_p50<1s", verdict=reasons("lag", [2]))
    marks = {cells[0]: cells[-1] for cells in rows(found)}
    assert (marks["1"], marks["2"]) == ("SLO holds", "not judged: lag")
    assert found.advice.endswith("Extend --concurrency upwards.")


def test_damaged_records_make_it_invalid() -> None:
    of_cases = reasons("damaged", [4])
    status, code = code_of(judged(curve(CAP), verdict=of_cases), of_cases)
    assert (status, code) == ("invalid", 4)


def test_levels_that_were_not_played_without_a_reason_make_it_inconclusive() -> None:
    found = judged(curve({1.0: 10.0, 2.0: 20.0, 4.0: 40.0, 8.0: 80.0}), more=[16, 32])
    verdict = sweep_verdict(found, VALID)
    assert (verdict.status, [one.code for one in verdict.reasons]) == ("inconclusive", ["interrupted"])
    assert "16 and 32 not played" in verdict.reasons[0].text
    assert "Not conclusive" in headline(found, verdict)


def test_levels_above_saturation_are_not_missing() -> None:
    found = judged(curve(CAP), more=[128.0], every_level=False)
    assert found.stopped is not None
    assert code_of(found) == ("valid", 0)


@pytest.mark.parametrize(
    ("lowest", "expected"),
    [
        (Quantile(0.1), ("valid", 0)),
        (Quantile(0.5), ("valid", 1)),
        (Quantile(), ("inconclusive", 5)),
    ],
)
def test_the_slo_at_the_lowest_level_decides_the_exit_code(lowest: Quantile, expected: tuple[str, int]) -> None:
    cases = [case(level, [CAP[level]], lowest if level == 1 else Quantile(0.5)) for level in LEVELS]
    assert code_of(judged(cases, "service_p99<200ms")) == expected


def test_what_a_growing_queue_looks_like_is_said_once() -> None:
    """A rate that the server fell behind with does not settle; a rate that it kept up with should."""
    found = judged(curve(CAP))
    points = [msgspec.structs.replace(point, kept_up=point.level < 32) for point in found.points]
    found = msgspec.structs.replace(found, by="rate", points=points)
    slow = [Reason(code, "x", f"concurrency={level}") for code in ("drift", "unsettled") for level in (8, 32, 64)]
    left = sweep_verdict(found, Verdict("valid", slow)).reasons
    assert [(one.code, one.case) for one in left] == [("drift", "concurrency=8"), ("unsettled", "concurrency=8")]

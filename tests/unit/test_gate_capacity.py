"""The gate's check that the capacity did not fall: ratios of intervals."""

from typing import Any

import msgspec
import pytest

from harness.measure.capacity_result import Capacity, CapacityPlan, CapacityResult
from harness.measure.gate_result import Gate, decode, encode
from harness.measure.judge.conditions import FinishedRun
from harness.measure.judge.gate_capacity import with_capacity
from harness.measure.result import RunResult, Verdict
from harness.measure.sweep_result import Estimate, SweepPoint, SweepResult
from reports.gate import forest_rows, junit, markdown, text
from tests.comparison_samples import case as of

SLO = "p99<500ms"


def search(low: float | None, high: float | None, confirmed: bool = True, ended: str = "answered") -> FinishedRun:
    """A capacity search by rate with this answer."""
    answer = Capacity("rate", SLO, ended, low, high, confirmed)  # type: ignore[arg-type] # one of its values
    found = CapacityResult([answer], [], 60.0, CapacityPlan([SLO], ["rate"]))
    result = RunResult(1, "search", "", {}, {}, 1, None, Verdict("valid"), "", [], capacity=found)
    return FinishedRun(result)


def gate(candidate: FinishedRun, baseline: FinishedRun | None = None) -> Gate:
    return with_capacity(None, baseline or search(100, 105), candidate, 0.2)


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [(100, 105, "passed"), (90, 95, "passed"), (200, None, "passed"), (80, 86, "inconclusive"), (70, 74, "failed"),
     (None, 20, "failed"), (75, 85, "inconclusive"), (10, None, "inconclusive")],
)  # fmt: skip
def test_the_whole_ratio_decides(low: float | None, high: float | None, status: str) -> None:
    """86/100 is above the bound of 0.8 and 80/105 below it: neither."""
    found = gate(search(low, high))
    assert (found.status, [check.status for check in found.checks]) == (status, [status])


def test_a_fall_from_a_capacity_that_no_long_run_confirmed_is_inconclusive() -> None:
    found = gate(search(50, 55), search(100, 105, confirmed=False))
    assert found.status == "inconclusive"
    assert "no long run" in found.text


def test_a_capacity_without_an_upper_bound_says_what_to_raise() -> None:
    found = gate(search(4000, None, ended="at_highest"), search(4000, None, ended="at_highest"))
    assert found.status == "inconclusive"
    assert "--highest" in found.text


@pytest.mark.parametrize("missing", [search(None, None), search(50, 55, ended="invalid")])
def test_a_side_that_measured_nothing_fails(missing: FinishedRun) -> None:
    for found in (gate(missing), gate(search(100, 105), missing)):
        assert found.status == "failed"
        assert "no such figure" in found.text


def test_a_run_that_is_no_search_is_invalid_and_never_passes() -> None:
    plain = FinishedRun(msgspec.structs.replace(search(1, 2).result, capacity=None))
    assert gate(plain).status == "invalid"
    assert with_capacity(None, plain, plain).status == "invalid"


def test_simulated_and_real_searches_are_not_compared() -> None:
    virtual = FinishedRun(msgspec.structs.replace(search(100, 105).result, simulated=True))
    assert gate(virtual).status == "invalid"


def test_searches_over_different_transports_are_not_compared() -> None:
    """The clients themselves are not equally fast."""

    def over(transport: str) -> FinishedRun:
        [case] = [of("queue-stream", [1.0])]
        result = search(100, 105).result
        return FinishedRun(msgspec.structs.replace(result, cases=[msgspec.structs.replace(case, transport=transport)]))

    assert gate(over("lean"), over("lean")).status == "passed"
    found = gate(over("lean"), over("aiohttp"))
    assert found.status == "invalid"
    assert "capacity: the runs had different transports, aiohttp and lean." in found.reasons


def test_a_gate_of_another_schema_version_is_refused() -> None:
    """By name; nothing of it is shown as if it were understood."""
    data = encode(gate(search(10.0, 11.0))).replace(b'"schema_version": 1,', b'"schema_version": 99,', 1)
    with pytest.raises(msgspec.ValidationError, match="schema_version: 99, expected 1"):
        decode(data)


def test_every_format_shows_the_ratio() -> None:
    found = gate(search(70, 74))
    for shown in (text(found, []), markdown(found), junit(found).decode()):
        assert "x[0.67, 0.74]" in shown.replace("\\", "")
        assert "70 to 74/s" in shown
    (row,) = forest_rows(found)
    assert row.kind == "bad"
    assert row.figure.low == pytest.approx(70 / 105)


def swept(knee: float | None, goodput: float, repeats: int = 3, **changes: Any) -> FinishedRun:
    """A sweep by rate, or by concurrency, over 10, 20, 40 with this knee and this highest goodput."""
    spread = 0.02 * goodput if repeats > 1 else None
    best = Estimate(goodput, None if spread is None else goodput - spread, None if spread is None else goodput + spread)
    points = [
        SweepPoint(level, f"{level:g}", repeats, best, best, Estimate(), Estimate(), Estimate(), 0.0, None, None)
        for level in (10.0, 20.0, 40.0)
    ]
    plain = SweepResult("rate", points, [], None, 0.05, 20.0, knee, None, None, None, None, [], None, None, None, "")
    found = msgspec.structs.replace(plain, **changes)
    return FinishedRun(RunResult(1, "sweep", "", {}, {}, 1, None, Verdict("valid"), "", [], sweep=found))


@pytest.mark.parametrize(
    ("knee", "status"), [(20.0, "inconclusive"), (40.0, "passed"), (10.0, "inconclusive"), (None, "failed")]
)
def test_the_knee_by_rate_lies_between_two_levels(knee: float | None, status: str) -> None:
    """20 was kept up with and 40 was not, so two equal sweeps on so coarse a grid decide little."""
    found = gate(swept(knee, 100), swept(20.0, 100))
    assert [(check.name, check.status) for check in found.checks] == [("knee by rate against the baseline", status)]


@pytest.mark.parametrize(("goodput", "status"), [(100, "passed"), (90, "passed"), (81, "inconclusive"), (70, "failed")])
def test_by_concurrency_the_highest_goodput_counts(goodput: float, status: str) -> None:
    """Also if the knee has moved to another concurrency."""
    before, after = swept(20.0, 100, by="concurrency"), swept(10.0, goodput, by="concurrency")
    found = gate(after, before)
    assert [(check.name, check.status) for check in found.checks] == [("highest goodput against the baseline", status)]


def test_a_sweep_without_repeats_decides_nothing() -> None:
    before, after = swept(20.0, 100, repeats=1, by="concurrency"), swept(20.0, 50, repeats=1, by="concurrency")
    found = gate(after, before)
    assert found.status == "inconclusive"
    assert "--repeats" in found.text
    found = gate(swept(None, 100, repeats=1), swept(20.0, 100, repeats=1))
    assert found.status == "inconclusive"
    assert "one repeat a level" in found.text


def test_the_capacity_of_a_sweep_under_an_slo_is_checked_too() -> None:
    slo = {"slo": SLO, "capacity": 10.0, "fails_from": 20.0}
    found = gate(swept(40.0, 100, **slo), swept(40.0, 100, **{**slo, "capacity": 40.0, "fails_from": None}))
    assert {check.name: check.status for check in found.checks} == {
        "knee by rate against the baseline": "inconclusive",
        "capacity by rate against the baseline": "failed",
    }

"""`--repeats auto`: the rule that ends the repeats, the order that follows it, and whole runs in virtual time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.client.errors import UsageError
from harness.experiment.order import UntilNarrow
from harness.experiment.prepare import prepare
from harness.experiment.run import execute
from harness.experiment.settings import RunSettings
from harness.experiment.simulate.compare import VirtualTime
from harness.experiment.spec import CaseSpec
from harness.measure.judge.conditions import FinishedRun, obstacles
from harness.measure.judge.precision import ended, outcome, reasons, widths, words
from harness.measure.precision_result import Precision, PrecisionPlan
from harness.measure.record.plan import read_plan, write_plan
from harness.measure.reduce.summary import Observed, summarize_run
from harness.measure.repeat_figures import RepeatFigures
from harness.measure.result import (
    Case,
    Counts,
    Distribution,
    Load,
    Named,
    Quantile,
    Rates,
    RunResult,
    Target,
    Verdict,
)

ASKED = PrecisionPlan(width=0.1, least=8, most=12, budget_s=100.0)


def case(name: str = "a", width: float | None = 0.05, kind: str = "poisson", ok: int = 1000, repeats: int = 8) -> Case:
    """A case whose intervals reach `width` to both sides; None: without an upper end."""

    def spread(value: float) -> Quantile:
        return Quantile(value, value * (1 - (width or 0.1)), None if width is None else value * (1 + width))

    return Case(
        name, Named(name), Load(kind), "similarity", Target(""), repeats=repeats, counts=Counts(ok=ok),
        rates_per_s=Rates(completed=100.0, completed_low=99.0, completed_high=101.0),
        latency_s=Distribution(n=ok, p50=spread(0.1), p90=spread(0.2), p95=Quantile()),
        service_time_s=Distribution(n=ok, p50=Quantile(0.1, 0.1, 0.1)),
        by_repeat=[RepeatFigures(number, 10, 10, makespan_s=1.0) for number in range(repeats)],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("repeats", "spent_s", "cases", "expected"),
    [
        (8, 8.0, [case()], "narrow"),
        (7, 7.0, [case()], None),
        (8, 8.0, [case(), case("b", 0.11)], None),
        (8, 8.0, [case(width=None)], None),
        (12, 12.0, [case(width=0.5)], "repeats"),
        (12, 12.0, [case()], "narrow"),
        (5, 83.0, [case(width=0.5)], None),
        (5, 84.0, [case(width=0.5)], "time"),
        (1, 60.0, [], "time"),
        (0, 0.0, [], None),
        (8, 8.0, [case(), case("dead", 0.5, ok=0)], "narrow"),
        (8, 8.0, [case(width=0.5, kind="backlog")], "narrow"),
    ],
)
def test_the_rule_ends_the_repeats(repeats: int, spent_s: float, cases: Sequence[Case], expected: str | None) -> None:
    """On a backlog the service time counts; a round more must fit into the time; the first look is after 8."""
    assert ended(ASKED, repeats, spent_s, cases) == expected


def test_the_figures_are_throughput_median_and_the_highest_percentile() -> None:
    assert dict(widths(case())) == pytest.approx(
        {"throughput": 0.01, "p50 of latency": 0.05, "p90 of latency": 0.05}, rel=1e-6
    )
    assert dict(widths(case(width=None)))["p90 of latency"] == math.inf


def played(order: UntilNarrow, seconds: float = 1.0) -> list[tuple[str, int, int]]:
    """Case, number of the repeat and planned repeats of everything that an order asks for."""
    found = []
    for planned, repeat in order:
        one = Observed(msgspec.structs.replace(case(), makespan_s=seconds), Verdict("valid"))
        order.ended(planned, repeat, lambda one=one: one)  # type: ignore[misc] # mypy cannot type a default
        found.append((planned.name, repeat, planned.repeats))
    return found


def spec(name: str) -> CaseSpec:
    """A planned case of ten arrivals."""
    return CaseSpec(name, Named("unbounded"), [], load=Named("poisson", {"rate_per_s": 20.0}), duration_s=1.0)


def test_the_order_plays_whole_rounds_until_all_are_narrow_and_looks_from_the_eighth_on() -> None:
    looks: list[tuple[str, int]] = []

    def measure(planned: CaseSpec) -> Case:
        looks.append((planned.name, planned.repeats))
        return case(planned.name, 0.5 if planned.repeats < 10 else 0.05)

    found = played(UntilNarrow([spec("a"), spec("b")], ASKED, measure))
    assert sorted(found) == [(name, repeat, repeat + 1) for name in "ab" for repeat in range(10)]
    assert looks == [(name, repeats) for repeats in (8, 9, 10) for name in "ab"]


def test_the_order_ends_with_the_repeats_or_the_time() -> None:
    assert len(played(UntilNarrow([spec("a")], ASKED, lambda planned: case(width=None)))) == 12
    assert len(played(UntilNarrow([spec("a")], ASKED, lambda planned: case()), seconds=30.0)) == 3


def test_each_round_has_arrivals_of_its_own_which_all_cases_share() -> None:
    order = UntilNarrow([spec("a"), spec("b")], ASKED, lambda planned: case())
    plans = {planned.name: planned for planned, _ in order}
    assert len(plans["a"].schedules) == len(set(plans["a"].schedules)) == 8
    assert plans["a"].schedules == plans["b"].schedules
    assert plans["a"].scheduled_in(7) == len(plans["a"].trial("", Path(), 7).build_schedule())


def settings(tmp_path: Path, **more: Any) -> RunSettings:
    """Two strategies on a queue in virtual time."""
    profile = tmp_path / "queue.toml"
    profile.write_text('[service]\nbase_s = 0.01\n[service.jitter]\nkind = "exponential"\n[capacity]\nworkers = 2\n')
    plain: dict[str, Any] = {
        "strategies": ("unbounded", "queue-stream:concurrency=4"),
        "server": str(profile),
        "load": "poisson",
        "rate": 60.0,
        "duration": 6.0,
        "repeats": "auto",
        "simulated": True,
        "calibrate": False,
        "out": tmp_path / "run",
    }
    return RunSettings(**{**plain, **more})


def result_of(found: RunSettings) -> RunResult:
    """A whole run."""
    run = prepare(found)
    result, _ = execute(run, lambda event, facts: None, VirtualTime(run))
    return result


def test_a_run_with_automatic_repeats_ends_at_narrow_intervals_and_can_be_computed_again(tmp_path: Path) -> None:
    result = result_of(settings(tmp_path, repeats_width=0.25))
    reached = result.precision
    assert reached is not None
    assert (reached.ended, result.verdict.status) == ("narrow", "valid")
    assert 8 <= reached.repeats <= 30
    assert all(case.repeats == reached.repeats and not case.partial for case in result.cases)
    assert all(width <= 0.25 for case in result.cases for _, width in widths(case))
    assert all(case.counts.scheduled == sum(one.scheduled for one in case.by_repeat) for case in result.cases)
    assert len({one.scheduled for one in result.cases[0].by_repeat}) > 1, "each repeat has arrivals of its own"
    assert [one.scheduled for one in result.cases[0].by_repeat] == [one.scheduled for one in result.cases[1].by_repeat]
    assert summarize_run(tmp_path / "run") == result


@pytest.mark.no_cover
def test_a_run_whose_budget_is_spent_first_says_so_and_is_valid(tmp_path: Path) -> None:
    result = result_of(settings(tmp_path, repeats_width=0.01, repeats_budget_s=110.0))
    assert result.precision is not None
    assert result.precision.ended == "time"
    assert sum(one.makespan_s or 0.0 for case in result.cases for one in case.by_repeat) <= 110.0
    assert result.verdict.status == "valid"
    (reason,) = [one for one in result.verdict.reasons if one.code == "wide"]
    assert "within ±1 % were asked for and not reached in 9 repeats. Raise --repeats-budget" in reason.text


@pytest.mark.no_cover
def test_intervals_of_automatic_repeats_are_wider_by_a_tenth(tmp_path: Path) -> None:
    result_of(settings(tmp_path, repeats_width=0.5))
    automatic = summarize_run(tmp_path / "run").cases[0].rates_per_s
    plan = tmp_path / "run" / "plan.json"
    fixed = read_plan(plan.parent)
    cases = [msgspec.structs.replace(one, repeats_auto=False) for one in fixed.cases]
    write_plan(msgspec.structs.replace(fixed, cases=cases), plan.parent)
    given = summarize_run(tmp_path / "run").cases[0].rates_per_s
    wide, narrow = (math.log((one.completed_high or 0.0) / (one.completed or 1.0)) for one in (automatic, given))
    assert narrow > 0
    assert wide == pytest.approx(1.1 * narrow)


def test_words_name_the_number_of_repeats_the_reason_and_the_widest_interval() -> None:
    found = outcome(ASKED, [case("a", 0.08), case("b", 0.05)])
    assert words(found) == (
        "Repeats: 8, then every judged interval was within ±10 %. "
        "The widest judged interval is that of p90 of latency of a: ±8 %."
    )
    stopped = outcome(ASKED, [case("a", None, repeats=3)])
    assert (stopped.ended, stopped.widest) == ("stopped", None)
    assert words(stopped).endswith("of a: it has an open end.")
    assert words(Precision(0.1, 0, "stopped")) == "Repeats: 0, then the run was stopped."
    assert reasons(stopped) == reasons(found) == reasons(None) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("repeats", 0), ("repeats_width", 0.0), ("repeats_max", 7), ("repeats_budget_s", 0.5)],
)
def test_numbers_out_of_range_are_refused(field: str, value: float, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"--{field.removesuffix('_s').replace('_', '-')} .*must be between"):
        prepare(settings(tmp_path, **{field: value}))


@pytest.mark.no_cover
def test_a_run_whose_repeats_share_their_arrivals_is_not_compared_with_one_of_automatic_repeats(tmp_path: Path) -> None:
    found = []
    for name, repeats in (("auto", "auto"), ("fixed", 8)):
        directory = tmp_path / name
        result = result_of(settings(tmp_path, repeats=repeats, repeats_width=0.5, out=directory))
        found.append(FinishedRun(result, read_plan(directory)))
    refused = [one for one in obstacles(*found) if "arrivals of the repeats" in one.name]
    assert [(one.before, one.after) for one in refused] == [("each its own", "all the same")]
    assert obstacles(found[0], found[0]) == []

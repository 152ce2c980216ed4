"""Service level objectives: what can be said, what is refused, and that a missing figure never passes."""

from __future__ import annotations

from typing import Any

import pytest

from harness.client.errors import UsageError
from harness.measure.judge.slo import RequestBounds, bounds_s, check, describe, parse, sets_errors
from harness.measure.result import Case, Counts, Distribution, Load, Named, Quantile, Rates, SloCheck, Target


def case(**more: Any) -> Case:
    """A case with these figures and no others."""
    return Case("a", Named("sync"), Load("backlog"), "similarity", Target("http://x"), **more)


FULL = case(
    counts=Counts(scheduled=200, ok=198, rejected=2),
    makespan_s=4.0,
    rates_per_s=Rates(completed=49.5, goodput=40.0),
    latency_s=Distribution(n=198, mean=0.2, max=0.9, p50=Quantile(0.1), p99=Quantile(0.5), p99_9=Quantile(0.8)),
    service_time_s=Distribution(n=198, p95=Quantile(0.05)),
    queue_wait_s=Distribution(n=198, max=0.4),
    ttft_s=Distribution(n=198, p99=Quantile(0.03)),
)


@pytest.mark.parametrize(
    ("text", "limit", "passed"),
    [
        ("p99<500ms", 0.5, False),
        ("p99<=500ms", 0.5, True),
        ("p50<0.2s", 0.2, True),
        ("p99.9<1s", 1.0, True),
        ("p99_9 < 1 s", 1.0, True),
        ("mean<200001us", 0.200001, True),
        ("mean<200001µs", 0.200001, True),
        ("max<0.01min", 0.6, False),
        ("service_p95<50.1ms", 0.0501, True),
        ("queue_wait_max<1s", 1.0, True),
        ("ttft_p99<30ms", 0.03, False),
        ("makespan<5s", 5.0, True),
        ("errors<1%", 0.01, False),
        ("errors<=1.01%", 0.0101, True),
        ("rate>49/s", 49.0, True),
        ("completed>=49.5", 49.5, True),
        ("goodput>41", 41.0, False),
        ("GOODPUT>39", 39.0, True),
    ],
)
def test_a_condition_is_checked_against_its_figure(text: str, limit: float, passed: bool) -> None:
    """Each metric, operator and unit."""
    (found,) = check(parse(text), FULL)
    assert found.condition == text
    assert found.limit == pytest.approx(limit)
    assert found.passed is passed


@pytest.mark.parametrize(
    "text", ["p99<1s", "itl_p50<1s", "ttft_mean<1s", "errors<99%", "rate>0", "goodput>0", "makespan<9s"]
)
def test_a_missing_figure_never_passes(text: str) -> None:
    """Whatever the condition, on a case without data."""
    (found,) = check(parse(text), case())
    assert (found.value, found.passed) == (None, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no condition"),
        (" , ", "no condition"),
        ("p99", "expected METRIC<VALUE"),
        ("p98<1s", "unknown metric 'p98'"),
        ("p99<500", "takes one of the units us ms s min"),
        ("p99<500h", "takes one of the units"),
        ("p99>500ms", "p99 takes < or <="),
        ("rate<5", "rate takes > or >="),
        ("errors<1", "errors takes a share in %"),
        ("rate>5ms", "rate is per second"),
        ("p99<1.2.3s", "'1.2.3' is not a number"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(text: str, message: str) -> None:
    """The bad part and what is allowed."""
    with pytest.raises(UsageError, match="--slo") as error:
        parse(text)
    assert message in str(error.value)


def test_the_bad_part_is_named_among_good_ones() -> None:
    """Not the whole text."""
    with pytest.raises(UsageError, match="'p98<1s'"):
        parse("p99<1s, p98<1s, errors<1%")


def test_one_requests_bounds_are_the_strictest() -> None:
    """A mean bounds no single request, and neither does the makespan."""
    assert bounds_s(parse("p50<100ms,p99<500ms,mean<9s,ttft_p99<2s,makespan<60s")) == RequestBounds(0.1, 2.0)
    assert bounds_s(parse("service_p99<1s,errors<1%,itl_p95<40ms")) == RequestBounds(itl=0.04)
    assert bounds_s(parse("tpot_p95<40ms,tpot_p50<20ms,e2e_p99<3s,e2e_mean<1s")) == RequestBounds(tpot=0.02, e2e=3.0)


def test_a_condition_is_described_with_value_unit_bound_and_margin() -> None:
    """In the unit of its metric; without a figure it says so."""
    assert describe(SloCheck("p99<500ms", 0.8, 0.5, False)) == (
        "p99<500ms FAILS: 800 ms, 300 ms above the bound of 500 ms"
    )
    assert describe(SloCheck("errors<1%", 0.002, 0.01, True)) == (
        "errors<1% holds: 0.2 %, 0.8 % below the bound of 1 %"
    )
    assert describe(SloCheck("rate>20", 12.0, 20.0, False)) == "rate>20 FAILS: 12/s, 8/s below the bound of 20/s"
    assert "no figure" in describe(SloCheck("p99<500ms", None, 0.5, False))


def test_microseconds_are_shown_in_one_spelling() -> None:
    """In the condition, which is typed as `us`, as in its figures."""
    assert (
        describe(SloCheck("p99<400us", 307e-6, 400e-6, True))
        == "p99<400µs holds: 307 µs, 93 µs below the bound of 400 µs"
    )


def test_whether_failures_are_bounded_by_the_user() -> None:
    """Then the verdict leaves them to the SLO."""
    assert sets_errors(parse("p99<1s,errors<50%"))
    assert not sets_errors(parse("p99<1s"))


def test_a_latency_bound_on_a_backlog_is_warned_of_and_service_time_offered() -> None:
    """Latency from due time includes the wait for all items before; under arrivals it is the right figure."""
    from harness.measure.judge.slo import backlog_warning
    from harness.measure.result import Case, Load, Named, Target

    def case(kind: str) -> Case:
        return Case("a", Named("a"), Load(kind), "similarity", Target("http://127.0.0.1:1"), makespan_s=5.3)

    conditions = parse("p99<500ms, mean<1s, errors<1%")
    warning = backlog_warning(conditions, case("backlog"))
    assert "makespan 5.3 s" in warning
    assert warning.endswith('use --slo "service_p99<500ms,service_mean<1s"')
    assert parse(warning.split('"')[1])
    assert backlog_warning(parse("service_p99<1s,ttft_p99<1s,errors<1%"), case("backlog")) == ""
    assert backlog_warning(conditions, case("poisson")) == ""

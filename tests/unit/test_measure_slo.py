"""--slo: what it understands, what it refuses, and that a missing figure never passes."""

from __future__ import annotations

import pytest

from harness.client.errors import UsageError
from harness.measure.result import Case, Counts, Distribution, Load, Named, Quantile, Rates, Target
from harness.measure.slo import bounds_s, check, parse, sets_errors


def case(**changes: object) -> Case:
    """A case with a p99 of 0.4 s, 2 % failed and 30/s."""
    fields: dict[str, object] = {
        "counts": Counts(scheduled=100, ok=98, rejected=2),
        "makespan_s": 3.3,
        "rates_per_s": Rates(completed=30.0, goodput=25.0),
        "latency_s": Distribution(n=98, mean=0.2, max=0.5, p99=Quantile(0.4)),
    }
    target = Target("http://127.0.0.1:1")
    return Case("a", Named("sync"), Load("backlog"), "similarity", target, **(fields | changes))  # type: ignore[arg-type]  # keywords by name


@pytest.mark.parametrize(
    ("text", "limit", "holds"),
    [
        ("p99<500ms", 0.5, True),
        ("p99 <= 0.4s", 0.4, True),
        ("p99<300000us", 0.3, False),
        ("max<1min", 60.0, True),
        ("mean<100ms", 0.1, False),
        ("p99.9<10s", 10.0, False),
        ("ttft_p50<10s", 10.0, False),
        ("errors<1%", 0.01, False),
        ("errors<=2.5%", 0.025, True),
        ("rate>20", 20.0, True),
        ("goodput>=26/s", 26.0, False),
        ("makespan<4s", 4.0, True),
        ("p50<10s", 10.0, False),
    ],
)
def test_conditions_on_a_case(text: str, limit: float, holds: bool) -> None:
    """Units become seconds and shares; p50, p99.9 and TTFT have no figure here, so they do not hold."""
    (found,) = check(parse(text), case())
    assert found.limit == pytest.approx(limit)
    assert found.passed is holds


def test_an_empty_case_meets_nothing() -> None:
    """Zero successes can never pass."""
    empty = case(counts=Counts(), rates_per_s=Rates(), latency_s=Distribution(), makespan_s=None)
    text = "p99<500ms,errors<1%,goodput>0.001,makespan<9s,rate>1"
    assert not any(found.passed for found in check(parse(text), empty))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "no condition"),
        ("p98<500ms", "p98"),
        ("p99<500", "us ms s min"),
        ("p99<500%", "us ms s min"),
        ("p99>500ms", "takes <"),
        ("goodput<20", "takes >"),
        ("rate>20ms", "per second"),
        ("errors<1", "%"),
        ("p99=5ms", "expected"),
        ("p99<1.2.3s", "not a number"),
        ("errors<1%,oops", "oops"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, named: str) -> None:
    """The message names the bad part and what is allowed."""
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert named in str(caught.value)


def test_what_one_request_may_take() -> None:
    """The loosest percentile's limit; the mean says nothing of one request."""
    assert bounds_s(parse("p50<100ms,p99<500ms,mean<1s,ttft_p95<50ms")) == (0.5, 0.05)
    assert bounds_s(parse("errors<1%")) == (None, None)
    assert sets_errors(parse("p99<1s,errors<1%"))
    assert not sets_errors(parse("p99<1s"))

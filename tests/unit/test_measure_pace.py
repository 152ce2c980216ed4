"""What set the pace, in the corners: saturated arrivals, slow senders, short cases; and the words for figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.base import units
from harness.measure.judge.diagnosis import Floor, diagnosis
from harness.measure.judge.headline import findings, headline
from harness.measure.reduce.statistics import t975
from harness.measure.reduce.summary import summarize_run
from harness.measure.reduce.timeline import in_flight, width_s
from harness.measure.result import (
    Case,
    Counts,
    Distribution,
    InFlight,
    Load,
    Named,
    Quantile,
    Rates,
    Resources,
    Target,
    Verdict,
)
from tests.unit.recorded import Exchange, plan, plan_case, write_case

IDLE = Floor(0.1, idle=True)


def case(name: str = "a", kind: str = "backlog", ok: int = 1000, **more: Any) -> Case:
    """A case of 1000 items at 0.1 s, 10 in flight, 100/s."""
    steady = Distribution(n=ok, min=0.1, max=0.1, mean=0.1, p50=Quantile(0.1), p99=Quantile(0.1))
    defaults: dict[str, Any] = {
        "counts": Counts(scheduled=1000, sent=1000, ok=ok, attempts=1000),
        "makespan_s": 10.0,
        "rates_per_s": Rates(completed=ok / 10),
        "service_time_s": steady,
        "latency_s": steady,
        "in_flight": InFlight(9.9, 10),
    }
    return Case(name, Named(name), Load(kind), "similarity", Target("http://x"), **{**defaults, **more})


def saturated(tmp_path: Path, service_s: float, sent_late: bool) -> Case:
    """Arrivals at 100/s for 4 s on something that gives 50/s; the wait is the client's or the server's."""
    exchanges = []
    for k in range(400):
        due, done = k * 0.01, k * 0.02 + service_s
        exchanges.append(Exchange(due, done - service_s if sent_late else due, done))
    write_case(tmp_path, "a", exchanges)
    plan(tmp_path, plan_case("a", load=Named("constant", {"rate_per_s": 100}), duration_s=4.0))
    return summarize_run(tmp_path).cases[0]


def test_arrivals_that_outgrow_the_strategy_are_not_the_loads_pace(tmp_path: Path) -> None:
    """Service time at its floor while items queue inside the client: the strategy."""
    assert saturated(tmp_path, 0.08, sent_late=True).diagnosis.limited_by == "strategy"


def test_arrivals_that_outgrow_the_server_are_the_servers(tmp_path: Path) -> None:
    """Sent on time, answered ever later."""
    found = saturated(tmp_path, 0.08, sent_late=False).diagnosis
    assert found.limited_by == "server"
    assert "fastest answer" in found.text


def test_long_answers_after_the_last_arrival_do_not_mean_saturation(tmp_path: Path) -> None:
    """Latency did not grow over the run, though the last answers came long after the last arrival."""
    exchanges = [Exchange(k * 0.01, k * 0.01, k * 0.01 + (2.0 if k % 2 else 0.1)) for k in range(400)]
    write_case(tmp_path, "a", exchanges)
    plan(tmp_path, plan_case("a", load=Named("constant"), duration_s=4.0))
    assert summarize_run(tmp_path).cases[0].diagnosis.limited_by == "load"


def test_a_client_that_is_slow_to_send_everything_is_the_limit() -> None:
    """A backlog wholly in flight, but sending took longer than an answer."""
    slow = case(in_flight=InFlight(500.0, 1000), queue_wait_s=Distribution(n=1000, max=0.5))
    assert diagnosis(slow, IDLE).limited_by == "client"


def test_a_client_out_of_cpu_is_the_limit() -> None:
    """Even without a calibrated ceiling."""
    found = diagnosis(case(resources=Resources(client_cpu_share=0.95)), IDLE)
    assert (found.limited_by, found.text) == ("client", "The client used 95 % of a core: the client was the limit.")


def test_a_busy_client_is_not_taken_for_a_slow_server() -> None:
    """At 89 % of a core it stretches the service times that it measures itself."""
    stretched = Distribution(n=1000, min=0.1, max=0.9, mean=0.54, p50=Quantile(0.54), p99=Quantile(0.9))
    busy = case(service_time_s=stretched, resources=Resources(client_cpu_share=0.89))
    assert diagnosis(busy, IDLE).limited_by == "client"
    assert diagnosis(case(service_time_s=stretched), IDLE).limited_by == "server"


def test_arrivals_without_a_timeline_cannot_be_called_on_time() -> None:
    """The figures then speak of the strategy."""
    assert diagnosis(case(kind="poisson"), IDLE).limited_by == "strategy"


def test_too_few_for_a_median_use_the_mean() -> None:
    """Three answers at twice the floor."""
    few = case(ok=3, service_time_s=Distribution(n=3, min=0.2, mean=0.2, max=0.2), in_flight=InFlight(3.0, 3))
    assert diagnosis(few, IDLE).limited_by == "server"
    assert diagnosis(case(service_time_s=Distribution()), IDLE).limited_by == "strategy"


def test_cases_that_are_all_alike_have_no_winner() -> None:
    """Within 5 % in everything."""
    alike = [case("a"), case("b", rates_per_s=Rates(completed=98.0))]
    found = findings(alike, Verdict("valid"))
    assert found[0].startswith("For a batch job: a and b performed alike. Nothing failed.")
    assert headline(alike, Verdict("valid")).startswith("Use a or b for a batch job: ")


def test_two_that_share_the_place_are_both_named() -> None:
    """And the third is not; all left something unanswered."""
    rates = {"a": 100.0, "b": 97.0, "c": 50.0}
    three = [case(name, ok=999, rates_per_s=Rates(completed=rate)) for name, rate in rates.items()]
    text = " ".join(findings(three, Verdict("valid")))
    assert "a and b are fastest" in text
    assert "Not answered: a (0.1 %), b (0.1 %) and c (0.1 %)." in text


def test_no_makespan_no_fastest() -> None:
    """A figure that is missing names no winner."""
    cases = [case("a", makespan_s=None), case("b", rates_per_s=Rates(completed=9.0))]
    text = " ".join([headline(cases, Verdict("valid")), *findings(cases, Verdict("valid"))])
    assert "fastest" not in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (units.seconds(123.4), "123 s"),
        (units.seconds(24.83), "24.8 s"),
        (units.seconds(1.25), "1.25 s"),
        (units.seconds(0.12), "120 ms"),
        (units.seconds(0.0031), "3.1 ms"),
        (units.seconds(0.00042), "420 µs"),
        (units.seconds(0.00004), "40 µs"),
        (units.rate(1416.4), "1,416/s"),
        (units.rate(40.28), "40.3/s"),
        (units.rate(8.333), "8.33/s"),
        (units.share(0.5), "50 %"),
        (units.share(0.031), "3.1 %"),
        (units.percent(0.0002), "0.02 %"),
        (units.share(0.0002), "< 0.1 %"),
        (units.times(10.4), "10x"),
        (units.times(2.34), "2.3x"),
        (units.listing(["a"]), "a"),
        (units.listing(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_figures_in_words(words: str, expected: str) -> None:
    """Three significant digits and a unit."""
    assert words == expected


@pytest.mark.parametrize("makespan_s", [1e-9, 0.0173, 0.12, 1.0, 9.99, 60.0, 61.7, 3600.0, 86_400.0])
def test_a_run_has_sixty_to_a_hundred_and_twenty_slices(makespan_s: float) -> None:
    """Of a round width."""
    assert 59 <= makespan_s / width_s(makespan_s) <= 120.001


def test_nothing_in_flight_is_unknown_not_zero() -> None:
    """No exchanges."""
    empty = summarize_nothing()
    assert (empty.mean, empty.max) == (None, None)


def summarize_nothing() -> InFlight:
    """In-flight of no exchanges at all."""
    import numpy as np

    return in_flight(np.empty(0, np.int64), np.empty(0, np.int64), 5)


def test_no_t_quantile_below_one_degree() -> None:
    """One repeat has no spread."""
    with pytest.raises(ValueError, match="at least 1"):
        t975(0)

"""Which strategy is recommended, and in which words: throughput, tail and failures are weighed."""

from __future__ import annotations

import msgspec
import pytest

from harness.measure.judge.across_servers import across
from harness.measure.judge.headline import findings, headline
from harness.measure.judge.recommendation import advice, reasons, recommend
from harness.measure.result import (
    Case,
    Counts,
    Distribution,
    Load,
    Named,
    Quantile,
    Rates,
    Reason,
    RunResult,
    SloCheck,
    Target,
    Verdict,
)

VALID = Verdict("valid")


def case(name: str, rate: float, tail_s: float | None, *, ok: int = 1000, kind: str = "backlog", slo: str = "") -> Case:
    """A case of 1000 items; `tail_s` is the p99 of its service time, and of its latency under arrivals."""
    spread = Distribution(n=ok, p99=Quantile(tail_s), p50=Quantile(tail_s))
    return Case(
        name=name,
        strategy=Named(name),
        load=Load(kind, {}, 1000, None),
        task="similarity",
        target=Target("http://127.0.0.1:1"),
        counts=Counts(scheduled=1000, sent=1000, ok=ok, rejected=1000 - ok, attempts=1000),
        makespan_s=ok / rate,
        rates_per_s=Rates(completed=rate),
        service_time_s=spread,
        latency_s=spread,
        slo=[SloCheck(slo, None, 0.01, False)] if slo else [],
    )


def chosen(*cases: Case) -> list[str]:
    found = recommend(cases)
    assert found is not None
    return [one.name for one in found.best]


@pytest.mark.parametrize(
    ("rates", "tails", "expected"),
    [
        # The same tail: the higher rate.
        ((100, 200), (1.0, 1.0), ["b"]),
        # The same rate: the shorter tail.
        ((100, 100), (1.0, 2.0), ["a"]),
        # Twice the rate for three times the tail is worth it in a batch job.
        ((100, 200), (0.1, 0.3), ["b"]),
        # Twice the rate for 27 times the tail is not.
        ((100, 200), (0.1, 2.7), ["a"]),
        # A difference within the noise of one run.
        ((100, 104), (0.1, 0.1), ["b", "a"]),
    ],
)
def test_rate_and_tail_are_weighed(rates: tuple[int, int], tails: tuple[float, float], expected: list[str]) -> None:
    a, b = (case(name, rate, tail) for name, rate, tail in zip("ab", rates, tails, strict=True))
    assert chosen(a, b) == expected


def test_under_arrivals_the_tail_counts_more() -> None:
    """Twice the rate for three times the tail is worth it in a backlog only."""
    assert chosen(case("a", 100, 0.1, kind="poisson"), case("b", 200, 0.3, kind="poisson")) == ["a"]


def test_a_case_that_loses_requests_is_not_recommended() -> None:
    """However fast it is; its loss is stated."""
    cases = [case("fast", 900, 0.01, ok=60), case("slow", 10, 0.5), case("few", 12, 0.5, ok=995)]
    found = recommend(cases)
    assert found is not None
    assert [one.name for one in found.best] == ["few"]
    assert advice(found, "a batch job") == "Use few for a batch job: 12/s, p99 of service time 500 ms, 0.5 % failed"
    assert "fast lost 94 % of the items." in reasons(found)


def test_a_case_that_misses_its_slo_is_not_recommended() -> None:
    cases = [case("fast", 900, 0.01, slo="service_p99<5ms"), case("slow", 10, 0.5)]
    found = recommend(cases)
    assert found is not None
    assert [one.name for one in found.best] == ["slow"]
    assert reasons(found) == "fast missed the SLO."


def test_the_words_follow_the_figures() -> None:
    """Other figures, other words: the trade-off is stated for the case that has it."""
    cases = [case("one", 50, 0.02), case("some", 200, 0.1), case("all", 400, 2.7)]
    found = recommend(cases)
    assert found is not None
    assert found.names == "some"
    assert reasons(found) == (
        "all gives 2.0x the rate of some, but its p99 of service time is 27x as long. "
        "one has the shortest p99 of service time (20 ms), but gives only 25 % of the rate."
    )
    better = recommend([case("one", 50, 0.02), case("some", 200, 0.1), case("all", 400, 0.1)])
    assert better is not None
    assert better.names == "all"
    assert "some" not in reasons(better)


def test_many_that_do_equally_well_are_not_all_listed() -> None:
    found = recommend([case(name, 100, 0.1) for name in "abcde"])
    assert found is not None
    assert found.names == "a or one of 4 that do equally well"


def test_without_a_percentile_the_rate_decides() -> None:
    found = recommend([case("a", 100, None), case("b", 200, None)])
    assert found is not None
    assert advice(found, "a batch job") == "Use b for a batch job: 200/s, nothing failed"


def test_if_every_case_fails_nothing_is_recommended() -> None:
    cases = [case("a", 100, 0.1, ok=500), case("b", 100, 0.1, ok=100)]
    found = recommend(cases)
    assert found is not None
    assert advice(found, "a batch job") == ("No strategy keeps failures below 1 %; a failed least (50 % of the items)")
    assert recommend([]) is None


def test_if_nothing_failed_but_the_slo_the_closest_case_is_named() -> None:
    """Not the one that failed least: none did."""
    cases = [
        msgspec.structs.replace(case(name, 100, p99_s), slo=[SloCheck("p99<100ms", p99_s, 0.1, False)])
        for name, p99_s in (("far", 0.3), ("near", 0.12))
    ]
    found = recommend(cases)
    assert found is not None
    assert advice(found, "a batch job") == (
        "No strategy meets the SLO; near comes closest (p99<100ms FAILS: 120 ms, 20 ms above the bound of 100 ms)"
    )


def test_the_headline_is_one_line_and_the_findings_are_at_most_three() -> None:
    cases = [case("one", 50, 0.02), case("some", 200, 0.1), case("all", 400, 2.7, ok=100, slo="errors<1%")]
    text = headline(cases, VALID)
    assert text == (
        "SLO failed: 1 of 1 conditions. Use some for a batch job: 200/s, p99 of service time 100 ms, nothing failed."
    )
    found = findings(cases, VALID)
    assert len(found) == 3
    assert all("\n" not in line for line in [text, *found])
    assert "all lost 90 % of the items" in found[0]
    # The case that fails is not praised for its rate.
    assert "some is fastest" in found[1]


def test_a_run_that_cannot_be_trusted_recommends_nothing_in_its_headline() -> None:
    bad = Verdict("invalid", [Reason("lag", "The load generator fell behind. Use fewer.", "a")])
    assert headline([case("a", 100, 0.1), case("b", 100, 0.1)], bad) == (
        "Do not trust the run as a whole: a: The load generator fell behind."
    )


def result(*cases: Case, verdict: Verdict = VALID) -> RunResult:
    return RunResult(1, "x", "2026-01-01T00:00:00Z", {}, {}, 1, None, verdict, "", list(cases))


def test_across_servers_the_worst_score_counts() -> None:
    """The best of each server fails on the other; what holds on both is advised."""
    first = result(case("fixed", 200, 0.1), case("all", 400, 2.7), case("careful", 180, 0.1), case("one", 20, 0.02))
    second = result(case("fixed", 300, 0.1, ok=90), case("all", 1, 1.0, ok=18), case("careful", 300, 0.1, ok=999),
                    case("one", 30, 0.02))  # fmt: skip
    advice, found = across([("open", first), ("bounded", second)])
    assert advice == (
        "Use careful if you do not know the server: 180/s on open and 300/s on bounded, "
        "at most 0.1 % of the requests lost."
    )
    assert found == [
        "all is fastest on open (400/s), but on bounded it loses 98.2 % of the requests.",
        "fixed is the best choice on open (200/s), but on bounded it loses 91 % of the requests.",
        "one also holds, at 10 % to 11.1 % of the rate of careful.",
    ]


def test_across_servers_other_figures_give_other_words() -> None:
    """The strategy that is best everywhere is advised, with nothing against it; or none, or no conclusion at all."""
    one = result(case("all", 400, 0.1), case("few", 40, 0.1))
    assert across([("a", one), ("b", one)]) == (
        "Use all if you do not know the server: 400/s on a and 400/s on b, no request lost.",
        ["few also holds, at 10 % to 10 % of the rate of all."],
    )
    bad = result(case("all", 400, 0.1, ok=10), case("few", 40, 0.1, ok=10))
    assert across([("a", one), ("b", bad)])[0] == "No strategy holds on every server."
    slow = result(case("all", 400, 0.1, slo="service_p99<5ms"), case("few", 40, 0.1))
    assert across([("a", one), ("b", slow)])[1][0] == "all is fastest on a (400/s), but on b it misses its SLO."
    unsound = result(case("all", 400, 0.1), verdict=Verdict("invalid"))
    assert across([("a", one), ("b", unsound)])[0].startswith("Do not draw conclusions: the measurement on b")

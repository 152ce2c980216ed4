"""The judgement of made-up curves: knee, edge, model, cliff, SLO and words."""

from __future__ import annotations

import math

import msgspec
import pytest

from harness.measure.judge.slo import parse
from harness.measure.judge.sweep.judgement import edge
from harness.measure.judge.sweep.stopping import FirstRepeat, reason_to_stop
from harness.measure.judge.sweep.wording import advice, columns, findings, rows
from harness.measure.result import Quantile, Reason, Verdict
from harness.measure.sweep_result import Estimate
from tests.simulation.sweep.made_up import case, curve, judged

LEVELS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
CAP = {level: min(10.0 * level, 80.0) for level in LEVELS}


def law(level: float, sigma: float = 0.05, kappa: float = 0.001) -> float:
    """The universal scalability law with 10/s at one call in flight."""
    return 10 * level / (1 + sigma * (level - 1) + kappa * level * (level - 1))


@pytest.mark.parametrize(
    ("levels", "best", "said"),
    [
        ([2, 4, 8], 8, "highest"),
        ([2, 4, 8], 2, "lowest"),
        ([2, 4, 8], 4, None),
        ([1, 2, 4], 1, None),
    ],
)
def test_a_best_level_at_the_edge_of_the_grid_says_so(levels: list[float], best: float, said: str | None) -> None:
    """One request in flight is the least there is, so it is no edge."""
    assert edge("concurrency", levels, best) == said
    falling = {level: 100.0 - abs(level - best) * 10 for level in levels}
    found = judged(curve(falling))
    assert (found.knee, found.edge) == (best, said)
    assert ("highest level measured" in found.advice) is (said == "highest")
    assert ("lowest level tried" in found.advice) is (said == "lowest")
    # It is no knee that was seen, so the table does not call it one.
    (marked,) = [cells for cells in rows(found) if "knee" in cells[-1] or "measured" in cells[-1]]
    assert (marked[0], marked[-1]) == (f"{best:g}", f"{said} measured" if said else "knee")


def test_by_rate_the_lowest_rate_is_an_edge_only_if_it_is_not_kept_up_with() -> None:
    assert edge("rate", [10, 20], None) == "lowest"
    assert edge("rate", [10, 20], 10) is None
    assert edge("rate", [10, 20], 20) == "highest"
    assert edge("concurrency", [1, 2], None) is None
    assert edge("rate", [], None) is None


def test_the_models_are_told_apart() -> None:
    capped, scaled = judged(curve(CAP)), judged(curve({level: law(level) for level in LEVELS}))
    assert (capped.model, capped.peak, capped.knee) == ("capped-linear", None, 8)
    assert scaled.model == "usl"
    assert scaled.peak is not None
    assert scaled.peak.value == pytest.approx(math.sqrt(0.95 / 0.001), rel=0.02)
    assert scaled.peak.low is not None
    assert scaled.peak.high is not None
    assert scaled.peak.low <= scaled.peak.value <= scaled.peak.high
    chosen = next(one for one in capped.fits if one.model == "capped-linear")
    assert max(map(abs, chosen.residuals.values())) < 0.01
    assert set(chosen.residuals) == {f"concurrency={level:g}" for level in LEVELS}


def test_no_peak_is_claimed_beyond_the_highest_level() -> None:
    found = judged(curve({level: law(level) for level in LEVELS if level <= 16}))
    assert (found.model, found.peak, found.edge) == ("usl", None, "highest")
    assert "no peak within the measured range" in findings(found)[0]


def test_no_peak_is_claimed_where_the_rates_do_not_fall() -> None:
    """A language model with 16 slots: the law is the better of two models, and its peak is none of the server's."""
    rates = {1.0: 3.7, 2.0: 7.09, 4.0: 13.0, 8.0: 22.4, 16.0: 35.2, 32.0: 35.3, 64.0: 35.2}
    found = judged(curve(rates, spread=0.003))
    assert (found.model, found.peak, found.knee) == ("usl", None, 16)
    assert "no peak within the measured range" in findings(found)[0]


def test_a_line_has_no_limit() -> None:
    """The last level is 4 % low, by chance."""
    found = judged(curve({level: 10 * level * (0.96 if level == 64 else 1.0) for level in LEVELS}, spread=0.04))
    assert "no limit was reached" in findings(found)[0]


def test_too_few_levels_for_a_model_are_said() -> None:
    found = judged(curve({1.0: 10.0, 2.0: 20.0, 4.0: 20.0}))
    assert (found.model, found.fits, found.knee) == (None, [], 2)
    assert "too few levels" in findings(found)[0]


def test_a_fall_that_no_model_explains_is_a_cliff() -> None:
    found = judged(curve({level: 10 * level if level <= 16 else 15.0 for level in LEVELS}))
    assert (found.knee, found.cliff, found.model) == (16, 32, "capped-linear")
    assert "collapses at 32" in found.advice


def test_the_knee_is_the_smallest_level_within_the_noise() -> None:
    """Without repeats 5 % are noise; with them, their spread decides."""
    alone = judged([case(level, [rate]) for level, rate in {1.0: 40.0, 2.0: 77.0, 4.0: 80.0, 8.0: 60.0}.items()])
    repeated = judged(curve({1.0: 40.0, 2.0: 77.0, 4.0: 80.0, 8.0: 60.0}, spread=0.002))
    assert (alone.noise, alone.knee) == (0.05, 2)
    assert (repeated.noise, repeated.knee) == (0.02, 4)


def test_a_level_at_which_the_client_was_the_limit_is_not_judged() -> None:
    starved = Verdict("invalid", [Reason("client_starved", "The client waited.", "concurrency=64")])
    found = judged(curve({**CAP, 64.0: 200.0}), verdict=starved)
    assert found.knee == 8
    assert rows(found)[-1][-1] == "not judged: client_starved"


@pytest.mark.parametrize(
    ("p99", "state"),
    [
        (Quantile(0.1, 0.09, 0.12), "holds"),
        (Quantile(0.1), "holds"),
        (Quantile(0.19, 0.15, 0.23), "unclear"),
        (Quantile(0.21, 0.19, 0.25), "unclear"),
        (Quantile(), "unclear"),
        (Quantile(0.3, 0.25, 0.4), "fails"),
    ],
)
def test_an_slo_is_unclear_while_its_limit_lies_within_the_interval(p99: Quantile, state: str) -> None:
    found = judged([case(1.0, [10.0], p99)], "service_p99<200ms")
    assert found.points[0].slo == state


def test_the_capacity_lies_below_the_first_level_that_fails() -> None:
    good, bad = Quantile(0.1), Quantile(0.5)
    cases = [case(level, [CAP[level]], bad if level in {8.0, 32.0} else good) for level in LEVELS]
    cases[2] = case(4.0, [40.0], Quantile())
    found = judged(cases, "service_p99<200ms")
    assert (found.capacity, found.fails_from) == (2, 8)
    assert found.advice.startswith("Set concurrency to 2 (20/s, p99 100 ms), the highest level that holds the SLO")
    assert "throughput still rises up to 8" in found.advice
    assert findings(found)[0] == (
        "The SLO service_p99<200ms holds up to 2, fails from 8. Unclear at 4: use more --repeats or a longer "
        "--duration."
    )


def test_without_a_level_that_holds_the_slo_the_advice_says_so() -> None:
    found = judged([case(level, [CAP[level]], Quantile(0.5)) for level in LEVELS], "service_p99<200ms")
    assert (found.capacity, found.fails_from) == (None, 1)
    assert found.advice.startswith("No level holds the SLO for certain; without it, throughput is highest at 8")
    assert findings(found)[0] == (
        "The SLO is service_p99<200ms. At 1 service_p99<200ms FAILS: 500 ms, 300 ms above the bound of 200 ms."
    )


def test_levels_that_answer_but_never_within_the_slo_are_measured() -> None:
    found = judged(curve({2.0: 20.0, 4.0: 40.0, 8.0: 50.0}))
    slow = [msgspec.structs.replace(point, goodput_per_s=Estimate(0.0)) for point in found.points]
    advised = advice(msgspec.structs.replace(found, points=slow))
    assert advised.startswith("No answer is within the SLO, even at 2 (20/s, p95 ")
    assert advised.endswith(": choose another SLO, extend --concurrency downwards, or make the server faster.")
    lowest = [msgspec.structs.replace(slow[0], level=1.0), *slow[1:]]
    advised = advice(msgspec.structs.replace(found, points=lowest))
    assert advised.endswith(": choose another SLO or make the server faster.")


def test_a_sweep_without_a_success_recommends_nothing() -> None:
    found = judged([case(level, [0.0], failed=10) for level in LEVELS], "service_p99<1s")
    assert (found.knee, found.best, found.capacity, found.fails_from) == (None, None, None, 1)
    assert "nothing to recommend" in found.advice
    assert judged([]).advice == found.advice


def test_a_level_with_more_failures_than_the_lowest_is_never_recommended() -> None:
    """A server that refuses is quick: its rate at such a level counts for nothing, in the fits neither."""
    cases = [case(level, [10 * level], failed=9000 if level > 8 else 0) for level in LEVELS]
    found = judged(cases)
    assert (found.knee, found.best, found.cliff) == (8, 8, None)
    assert [point.level for point in found.points if point.failing] == [16, 32, 64]
    assert "at 16 too many requests fail (160/s, p95 200 ms, 90 % failed)" in found.advice
    assert all(set(fit.residuals) <= {f"concurrency={level:g}" for level in LEVELS[:4]} for fit in found.fits)


def test_failures_that_do_not_grow_with_the_load_are_no_reason_against_a_level() -> None:
    found = judged([case(level, [rate], failed=100) for level, rate in CAP.items()])
    assert (found.knee, [point for point in found.points if point.failing]) == (8, [])
    assert "beyond 8 you only add latency: 64 gives 80/s, p95 1.6 s, 9.1 % failed" in found.advice


def test_the_advice_names_the_recommended_level_and_not_the_next_one() -> None:
    """8 is not beyond 8."""
    found = judged(curve({1.0: 25, 2.0: 50, 4.0: 100, 8.0: 100}))
    assert found.knee == 4
    assert found.advice.startswith("Set concurrency to 4 (")
    assert "beyond 4 you only add latency: 8 gives 100/s" in found.advice


def test_failures_only_at_the_highest_level_are_named_there() -> None:
    found = judged([case(level, [rate], failed=9000 if level == 64 else 0) for level, rate in CAP.items()])
    assert found.advice.startswith("Set concurrency to 8 (")
    assert "; at 64 too many requests fail (80/s" in found.advice


def test_a_collapse_below_the_recommended_level_is_no_bound_for_it() -> None:
    """Nobody can set 8 and stay below 2."""
    found = judged(curve({1.0: 50, 2.0: 10, 4.0: 60, 8.0: 100, 16.0: 100}))
    assert (found.knee, found.cliff) == (8, 2)
    assert "stay below" not in found.advice
    assert "beyond 8 you only add latency" in found.advice


def test_a_row_for_each_level() -> None:
    found = judged(curve(CAP))
    assert {len(row) for row in rows(found)} == {len(columns(found))}
    assert [row[0] for row in rows(found)] == ["1", "2", "4", "8", "16", "32", "64"]


def test_two_saturated_levels_in_a_row_end_the_ascent() -> None:
    ascent = [FirstRepeat(1, 10, 0.1, 0.0), FirstRepeat(2, 20, 0.1, 0.0), FirstRepeat(4, 20, 0.2, 0.0)]
    assert reason_to_stop("concurrency", ascent) is None
    assert reason_to_stop("concurrency", [*ascent, FirstRepeat(8, 20, 0.4, 0.0)]) is not None
    assert reason_to_stop("concurrency", [*ascent, FirstRepeat(8, 40, 0.2, 0.0)]) is None
    # After a fall the rate may rise again, far below the best.
    assert (
        reason_to_stop("concurrency", [*ascent, FirstRepeat(8, 5, 1.6, 0.0), FirstRepeat(16, 10, 1.6, 0.0)]) is not None
    )


def test_two_levels_that_fail_end_the_ascent() -> None:
    ascent = [FirstRepeat(1, 10, 0.1, 0.1), FirstRepeat(2, 20, 0.1, 0.15), FirstRepeat(4, 40, 0.1, 0.12)]
    assert reason_to_stop("concurrency", ascent) is None
    assert "than the SLO allows" in (reason_to_stop("concurrency", ascent, parse("errors<1%")) or "")
    failing = [*ascent, FirstRepeat(8, 80, 0.1, 0.3), FirstRepeat(16, 160, 0.1, 0.5)]
    assert "50 % of the requests failed, more than at the lowest" in (reason_to_stop("concurrency", failing) or "")


def test_by_rate_a_server_that_completes_less_than_is_offered_ends_the_ascent() -> None:
    ascent = [FirstRepeat(10, 10, 0.1, 0.0), FirstRepeat(20, 17, 0.5, 0.0)]
    assert reason_to_stop("rate", ascent) is None
    assert reason_to_stop("rate", [*ascent, FirstRepeat(30, 17, 1.0, 0.0)]) is not None


def test_by_rate_fewer_arrivals_by_chance_are_no_saturation() -> None:
    """The server answers what arrives, in a level with few requests, too."""
    ascent = [FirstRepeat(10, 8, 0.1, 0.0, 8.0), FirstRepeat(20, 17, 0.1, 0.0, 17.0)]
    assert reason_to_stop("rate", ascent) is None
    assert reason_to_stop("rate", [one._replace(per_s=0.8 * one.per_s) for one in ascent]) is not None


@pytest.mark.parametrize(("kept_up", "said"), [(True, "no limit was reached"), (False, "a limit of ")])
def test_a_sweep_by_rate_has_a_limit_only_where_the_server_fell_behind(kept_up: bool, said: str) -> None:
    """The last level has 12 % fewer arrivals than offered, by chance: the corner of the fit lies below it."""
    found = judged(curve({level: 10 * level * (0.88 if level == 64 else 1.0) for level in LEVELS}))
    assert found.model == "capped-linear"
    points = [msgspec.structs.replace(one, kept_up=kept_up or one.level < 64) for one in found.points]
    swept = msgspec.structs.replace(
        found, by="rate", points=points, knee=64.0 if kept_up else 32.0, edge="highest" if kept_up else None
    )
    assert said in findings(swept)[0]

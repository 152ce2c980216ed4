"""Comparison of two series of repeats: exact tests, decisions, words. Pure functions of figures."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from harness.client.errors import UsageError
from harness.measure.comparison_result import FigureComparison
from harness.measure.judge import comparison_words as words
from harness.measure.judge import rank_tests
from harness.measure.judge.compared_figures import FIGURES, chosen, named
from harness.measure.judge.comparison import (
    PAIRS_MIN,
    compare,
    decide,
    measure,
    noise_floor,
    within_limit,
)
from harness.measure.repeat_figures import Points, RepeatFigures
from harness.measure.result import Rates
from tests.comparison_samples import case, repeats

THROUGHPUT = [FIGURES["completed"]]
BASE = [100.0, 103.0, 98.0, 101.0, 97.0, 104.0, 99.0, 102.0]


def only(reference: Sequence[float], other: Sequence[float], paired: bool = True, limit: float = 0.0) -> Any:
    """The comparison of throughput alone."""
    return compare(case("a", reference), case("b", other), THROUGHPUT, paired, limit).figures[0]


@pytest.mark.parametrize("n", [1, 2, 5, 6, 8])
def test_signed_rank_agrees_with_all_signs_written_out(n: int) -> None:
    """The null distribution, by enumeration of the 2^n signs."""
    differences = np.arange(1.0, n + 1)
    walsh = rank_tests.signed_rank(differences.tolist())
    chances = np.bincount(
        [sum(i + 1 for i, up in enumerate(signs) if up) for signs in itertools.product((0, 1), repeat=n)],
        minlength=n * (n + 1) // 2 + 1,
    )
    assert walsh.cumulated == pytest.approx(np.cumsum(chances) / 2**n)
    assert walsh.p_above(0.0) == pytest.approx(min(1.0, 2 / 2**n))


@pytest.mark.parametrize(("first", "second"), [(1, 1), (3, 4), (4, 4), (5, 2)])
def test_mann_whitney_agrees_with_all_choices_written_out(first: int, second: int) -> None:
    """The null distribution, by enumeration of the ranks of the first sample."""
    shifts = rank_tests.mann_whitney([0.0] * first, [1.0] * second)
    sums = [sum(ranks) - first * (first - 1) // 2 for ranks in itertools.combinations(range(first + second), first)]
    chances = np.bincount(sums, minlength=first * second + 1)
    assert shifts.cumulated == pytest.approx(np.cumsum(chances) / len(sums))


def test_interval_and_test_agree() -> None:
    """The interval leaves out exactly the shifts that the test rejects."""
    random = np.random.default_rng(5)
    for n in (6, 9, 14):
        differences = random.normal(0.3, 1, n).tolist()
        for shifts in (rank_tests.signed_rank(differences), rank_tests.mann_whitney(differences, BASE)):
            interval = shifts.interval()
            assert interval is not None
            low, high = interval
            assert shifts.p_above(low - 1e-9) <= 0.05 < shifts.p_above(low + 1e-9)
            assert shifts.p_below(high + 1e-9) <= 0.05 < shifts.p_below(high - 1e-9)


def test_many_values_use_the_normal_approximation() -> None:
    """It continues the exact distribution without a step."""
    exact = rank_tests.signed_rank(list(np.arange(1.0, 51.0)))
    near = rank_tests.signed_rank(list(np.arange(1.0, 52.0)))
    for share in (0.3, 0.4, 0.5):
        left = exact.cumulated[int(share * len(exact.values))]
        right = near.cumulated[int(share * len(near.values))]
        assert right == pytest.approx(left, abs=0.01)


@pytest.mark.parametrize(("figures", "pairs", "separate"), [(1, 6, 4), (2, 7, 5), (4, 8, 5), (6, 8, 5), (8, 9, 6)])
def test_repeats_that_are_needed(figures: int, pairs: int, separate: int) -> None:
    """From these numbers on the clearest difference passes Holm's correction."""
    assert rank_tests.least_pairs(0.05 / figures) == pairs
    assert rank_tests.least_repeats(0.05 / figures) == separate


def test_six_pairs_are_the_minimum() -> None:
    assert PAIRS_MIN == 6
    five = only(BASE[:5], [value * 2 for value in BASE[:5]])
    assert (five.decision, five.low, five.needed) == ("not enough repeats", None, 6)
    assert five.effect == pytest.approx(2.0)
    assert words.sentence(five) == "throughput not enough repeats to say (5; 6 are needed)"
    assert only(BASE[:6], [value * 2 for value in BASE[:6]]).decision == "better"


def test_seven_pairs_cannot_decide_four_figures() -> None:
    """Holm's first step needs p <= 0.0125, and seven pairs give 0.0156 at best: no verdict, not "no difference"."""
    few = compare(case("a", BASE[:7]), case("b", [2 * value for value in BASE[:7]]))
    assert len(few.figures) == 4
    assert {figure.decision for figure in few.figures} == {"not enough repeats"}
    assert {figure.needed for figure in few.figures} == {8}
    enough = compare(case("a", BASE), case("b", [2 * value for value in BASE]))
    assert {figure.decision for figure in enough.figures} == {"better"}


def test_drift_cancels_out_in_pairs_only() -> None:
    """Ten per cent more in every pair, while the machine itself changes by half."""
    drifting = [100.0, 90.0, 150.0, 140.0, 70.0, 60.0, 120.0, 130.0]
    faster = [value * 1.1 for value in drifting]
    paired, separate = only(drifting, faster), only(drifting, faster, paired=False)
    assert paired.decision == "better"
    assert (paired.effect, paired.low, paired.high) == (pytest.approx(1.1), pytest.approx(1.1), pytest.approx(1.1))
    assert separate.decision == "no difference found"
    assert separate.detectable > 0.5


def test_direction_of_each_figure() -> None:
    """More throughput is better, more latency is worse, more failures are worse."""
    slower = compare(case("a", BASE), case("b", [value * 0.8 for value in BASE]))
    names = ("completed", "service_p50", "service_p95", "service_p99")
    assert {figure.figure: figure.decision for figure in slower.figures} == dict.fromkeys(names, "worse")
    failing = compare(case("a", BASE), case("b", BASE, failed=5), named(["errors"])).figures[0]
    assert (failing.decision, failing.scale) == ("worse", "difference")
    assert failing.effect == pytest.approx(0.05)
    assert words.sentence(failing) == "share of failures +5 points [+5, +5] worse"


def test_equal_values_are_no_difference() -> None:
    """Also where ties leave nothing to rank, as in a simulation without chance."""
    same = only(BASE, BASE)
    assert (same.decision, same.effect, same.p, same.detectable) == ("no difference found", 1.0, 1.0, 0.0)
    assert words.finding(same) == "no difference found (the values are equal)"


def test_a_repeat_without_success_is_the_worst_and_not_missing() -> None:
    """A server that answers nothing must not disappear from the comparison."""
    dead = only(BASE, [0.0] * 8)
    assert dead.decision == "worse"
    assert dead.missing == 0
    gone = [RepeatFigures(number, scheduled=100, ok=0) for number in range(8)]
    assert measure(FIGURES["completed"], repeats(BASE), gone).n == 8
    lost = measure(FIGURES["service_p99"], repeats(BASE), gone)
    assert (lost.n, lost.missing, lost.effect) == (0, 8, None)
    assert decide([lost], paired=True)[0].decision == "not enough repeats"


def test_pairs_are_matched_by_number() -> None:
    """A repeat that one of the cases lacks is left out, and counted."""
    other = [repeat for repeat in repeats([2 * value for value in BASE]) if repeat.repeat != 3]
    found = measure(FIGURES["completed"], repeats(BASE), other)
    assert (found.n, found.missing) == (7, 1)
    assert found.effect == pytest.approx(2.0)


def test_a_limit_is_tested_and_not_only_compared() -> None:
    """Worse by 4 %: more than nothing and more than 2 %, not more than 5 %."""
    noise = [1.0, 1.005, 0.995, 1.01, 0.99, 1.002, 0.998, 1.003]
    other = [value * 0.96 * factor for value, factor in zip(BASE, noise, strict=True)]
    assert only(BASE, other).decision == "worse"
    assert only(BASE, other, limit=0.02).decision == "worse"
    assert only(BASE, other, limit=0.05).decision == "no difference found"
    assert within_limit(only(BASE, other, limit=0.06)) is True
    assert within_limit(only(BASE, other, limit=0.04)) is False
    assert within_limit(only(BASE[:3], other[:3], limit=0.04)) is None
    assert only(BASE, [value / 0.96 for value in other], limit=0.02).decision == "no difference found"


def test_noise_floor_of_a_control() -> None:
    """The far end of the interval of A/A ratios; with few of them the largest deviation."""
    assert noise_floor([]) is None
    assert noise_floor([1.01, 0.98, 1.0]) == pytest.approx(1 / 0.98 - 1)
    many = [0.5, *[1.0 + 0.001 * place for place in range(-6, 7)]]
    assert noise_floor(many) is not None
    assert noise_floor(many) < 0.05  # type: ignore[operator]


def test_holm() -> None:
    assert rank_tests.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert rank_tests.holm([]) == []


def test_holm_corrects_a_family() -> None:
    """A p of 0.03 stands alone, and falls among four figures."""
    single = only([100.0] * 9, [101, 102, 103, 104, 105, 106, 107, 95, 97])
    assert single.p is not None
    alone = FigureComparison("p50", "lower", "ratio", effect=1.1, low=1.01, high=1.2, p=0.03, n=9, n_reference=9)
    other = FigureComparison("p95", "lower", "ratio", effect=1.0, low=0.9, high=1.1, p=0.9, n=9, n_reference=9)
    assert decide([alone], paired=True)[0].decision == "worse"
    together = decide([alone, other, other, other], paired=True)[0]
    assert together.decision == "no difference found"
    assert together.p_adjusted == pytest.approx(0.12)


def test_figures_that_fit() -> None:
    """A backlog has service times; arrivals latency from due time; failures and goodput only where they say more."""
    backlog = [case("a", BASE), case("b", BASE)]
    assert [f.name for f in chosen(backlog)] == ["completed", "service_p50", "service_p95", "service_p99"]
    arrivals = [case("a", BASE, load="poisson"), case("b", BASE, load="poisson", failed=1)]
    assert [f.name for f in chosen(arrivals)] == ["completed", "errors", "p50", "p95", "p99"]
    kept_up = [msgspec.structs.replace(one, rates_per_s=Rates(offered=99.0, completed=100.0)) for one in arrivals]
    assert [f.name for f in chosen(kept_up)] == ["errors", "p50", "p95", "p99"]
    assert [f.name for f in chosen([*kept_up, arrivals[0]])] == ["completed", "errors", "p50", "p95", "p99"]
    with pytest.raises(UsageError, match="figure 'speed': unknown; figures: completed goodput errors"):
        named(["speed"])
    assert [f.name for f in named(["p99", "p50", "p99"])] == ["p99", "p50"]


def test_streams_have_first_token_and_gaps() -> None:
    points = Points(p50=0.1, p90=0.2, p95=0.3, p99=0.4)
    one = RepeatFigures(0, 10, 10, 1.0, 10.0, 9.0, points, points, points, points)
    assert [FIGURES[name].of(one) for name in ("ttft_p95", "itl_p50", "goodput", "makespan")] == [0.3, 0.1, 9.0, 1.0]
    assert FIGURES["ttft_p95"].of(RepeatFigures(0, 10, 10)) is None


def test_words() -> None:
    """As they stand in the terminal and in reports."""
    found = compare(case("fixed", BASE), case("adaptive", [1.08 * v for v in BASE]), named(["completed"]))
    assert words.against(found) == "adaptive against fixed: throughput x1.08 [1.08, 1.08] better"
    wavering = [value * factor for value, factor in zip(BASE, [1.02, 0.98] * 4, strict=True)]
    figure = only(BASE, wavering)
    assert words.finding(figure).startswith("no difference found (an effect of ")
    assert words.rows([found])[0][:4] == ["adaptive", "throughput", "100/s", "109/s"]
    few = compare(case("a", BASE[:2]), case("b", BASE[:2]))
    said = "throughput, service p50, service p95 and service p99 not enough repeats to say (2; 8 are needed)"
    assert words.against(few) == f"b against a: {said}"


def test_the_detectable_effect_is_found_nine_times_in_ten() -> None:
    """Noise of 5 % in 12 pairs: an effect as large as stated by quiet experiments is found at that rate."""
    random = np.random.default_rng(11)

    def experiment(effect: float) -> FigureComparison:
        base = np.exp(random.normal(0, 0.05, 12))
        return only(base.tolist(), (base * effect * np.exp(random.normal(0, 0.05, 12))).tolist())  # type: ignore[no-any-return]

    stated = [experiment(1.0).detectable for _ in range(200)]
    size = 1 + float(np.median([value for value in stated if value is not None]))
    found = np.mean([experiment(size).decision == "better" for _ in range(400)])
    assert 0.85 <= found <= 0.95
    assert math.log(size) < 0.1

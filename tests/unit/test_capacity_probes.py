"""The state of a probe from its trials, the answer's words, and the verdict on a search."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from harness.client.errors import UsageError
from harness.measure.capacity_result import CapacityPlan, Probe, State
from harness.measure.judge.capacity.answers import capacity_result
from harness.measure.judge.capacity.probes import GROWTH, conditions, judge, requests_needed, tiers_of
from harness.measure.judge.capacity.verdict import capacity_findings, capacity_headline, capacity_verdict
from harness.measure.judge.capacity.wording import columns, probe_words
from harness.measure.reduce.share_intervals import mean_interval, quantile_interval, share_interval
from harness.measure.reduce.statistics import t975
from harness.measure.reduce.trial_samples import TrialSample
from harness.measure.result import Reason, Verdict
from reports.formats._capacity import capacity_blocks

TIER = "p99<500ms,errors<1%"
RATE = Probe("rate 80/s", "rate", 80.0)


def trial(values: Any, failed: int = 0, growth: float | None = 0.0) -> TrialSample:
    ordered = np.sort(np.asarray(values, float))
    return TrialSample(len(ordered) + failed, failed, 10.0, 80.0, growth, {"": ordered, "service_": ordered})


def trials(
    seed: int, scale: float, number: int = 4, n: int = 400, spread: float = 0.05, **more: Any
) -> list[TrialSample]:
    rng = np.random.default_rng(seed)
    return [trial(scale * rng.exponential(1.0, n) * np.exp(rng.normal(0, spread)), **more) for _ in range(number)]


def state(samples: list[TrialSample], tier: str = TIER, probe: Probe = RATE) -> State:
    return judge(probe, [tier], samples).states[0]


def test_an_interval_decides_and_not_the_point() -> None:
    """p99 of an exponential of mean 100 ms is 461 ms: too near to 500 ms for 4 trials of 400."""
    assert state(trials(1, 0.05)) == "passed"
    assert state(trials(1, 0.1)) == "unresolved"
    assert state(trials(1, 0.2)) == "failed"
    judged = judge(RATE, [TIER], trials(1, 0.2))
    assert judged.figures[0].low is not None
    assert judged.figures[0].low > 0.5
    assert "is above 500 ms" in judged.reason


def test_errors_are_judged_by_their_interval_too() -> None:
    assert state(trials(2, 0.01)) == "passed"
    assert state(trials(2, 0.01, failed=4)) == "unresolved"
    assert state(trials(2, 0.01, failed=20)) == "failed"
    assert state(trials(2, 0.01, n=40)) == "unresolved", "160 requests cannot show less than 1 %"


def test_an_slo_without_errors_gets_a_limit_for_them() -> None:
    assert [one.text for one in conditions("p99<500ms", "rate")] == ["p99<500ms", "errors<1%"]
    assert state(trials(2, 0.01, failed=100), "p99<500ms") == "failed"
    assert state([trial([], failed=400)] * 4, "p99<500ms") == "failed", "nothing succeeded"


def test_under_concurrency_the_service_time_is_judged() -> None:
    """The latency from due time is the makespan of the backlog."""
    found = conditions("p99<500ms,mean<=100ms,ttft_p95<2s", "concurrency")
    assert [one.metric for one in found] == ["service_p99", "service_mean", "ttft_p95", "errors"]
    assert found[0].text == "service_p99<500ms"
    assert state(trials(1, 0.05, growth=None), TIER, Probe("concurrency 8", "concurrency", 8.0)) == "passed"


def test_a_growing_backlog_fails_although_latencies_are_still_short() -> None:
    growing = trials(3, 0.01, growth=0.05)
    judged = judge(RATE, [TIER], growing)
    assert judged.states == ["failed"]
    assert [figure.condition for figure in judged.figures if figure.state == "failed"] == [GROWTH]
    assert state(trials(3, 0.01, growth=0.02)) == "passed"


def test_two_saturated_trials_fail_a_probe_early() -> None:
    far = trials(4, 2.0, number=2, growth=0.4)
    assert judge(RATE, [TIER], far).saturated
    assert state(far) == "failed"
    assert state(trials(4, 2.0, number=1, growth=0.4)) == "unresolved", "one trial may be a hiccup"
    assert state(trials(4, 0.12, number=2, growth=0.0)) == "unresolved", "beyond the limit, but not by far"
    assert state(trials(4, 2.0, number=2, growth=0.0)) == "failed", "each trial is far beyond it"
    assert state(trials(4, 0.01, number=2, growth=0.4)) == "unresolved", "no figure is beyond its limit yet"


def test_no_trial_is_invalid_and_no_bound() -> None:
    assert judge(RATE, [TIER], []).states == ["invalid"]


def test_a_confirmation_run_passes_on_its_figures_and_fails_on_its_parts() -> None:
    long = Probe("rate 80/s, long run", "rate", 80.0, confirmation=True)
    assert state(trials(1, 0.1, number=6), probe=long) == "passed"
    assert state(trials(1, 0.112, number=6), probe=long) == "unresolved"
    assert state(trials(1, 0.2, number=6), probe=long) == "failed"


def test_tiers_are_split_and_judged_apart() -> None:
    tiers = tiers_of(["p99<100ms; p99<500ms", "p99<2s,errors<5%"], ["rate"])
    assert tiers == ["p99<100ms", "p99<500ms", "p99<2s,errors<5%"]
    assert judge(RATE, tiers, trials(1, 0.05)).states == ["failed", "passed", "passed"]


@pytest.mark.parametrize(
    ("slo", "said"),
    [
        ("", "capacity needs --slo"),
        ("rate>5", "rate cannot bound a capacity"),
        ("errors<0%", "no probe can show so few failures"),
        ("makespan<5s", "makespan cannot bound a capacity"),
        ("max<5s", "max cannot bound a capacity"),
        ("queue_wait_p99<1s", "in a backlog every item waits"),
        ("p99<500", "takes one of the units"),
    ],
)
def test_an_slo_that_cannot_bound_a_capacity_is_refused(slo: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        tiers_of([slo], ["concurrency", "rate"])


@pytest.mark.parametrize("tier", ["p99<500ms", "p95<500ms,errors<5%", "p50<1s,errors<20%", "p99.9<1s,errors<1%"])
def test_trials_are_long_enough_for_a_pass(tier: str) -> None:
    """A server far within its limits passes with the first trials."""
    n = -(-requests_needed([tier], 4) // 4)
    assert state([trial(np.full(n, 0.01))] * 4, tier) == "passed"


def test_the_interval_of_a_percentile_covers_it() -> None:
    """Trials that differ by a random factor, as those of a busy server do; the truth from 2 million values."""
    for p, count in ((0.5, 300), (0.95, 300), (0.99, 300)):
        truth = np.quantile(
            np.random.default_rng(0).exponential(1.0, 2_000_000)
            * np.exp(np.random.default_rng(1).normal(0, 0.2, 2_000_000)),
            p,
        )
        hits = 0
        for seed in range(count):
            rng = np.random.default_rng(seed)
            samples = [np.sort(rng.exponential(1.0, 500) * np.exp(rng.normal(0, 0.2))) for _ in range(6)]
            _, low, high = quantile_interval(samples, p)
            hits += int((low is None or low <= truth) and (high is None or truth <= high))
        assert 0.92 <= hits / count <= 1.0, p


def test_a_side_that_the_data_cannot_bound_is_open() -> None:
    few = [np.sort(np.arange(20.0)) for _ in range(4)]
    value, low, high = quantile_interval(few, 0.99)
    assert (value, high) == (19.0, None)
    assert low is not None
    assert quantile_interval(few[:2], 0.5) == (9.0, None, None)
    assert quantile_interval([], 0.5) == (None, None, None)


def test_shares_and_means_with_their_intervals() -> None:
    value, low, high = share_interval([0, 0, 0, 0], [500] * 4, 0.01)
    assert (value, low) == (0.0, 0.0)
    assert high == pytest.approx(t975(3) * (0.01 * 0.99 / 2000) ** 0.5)
    assert share_interval([], [], 0.01) == (None, None, None)
    half = 4.3027 / 3**0.5
    assert list(mean_interval([1.0, 2.0, 3.0])) == pytest.approx([2.0, 2 - half, 2 + half])
    assert mean_interval([1.0]) == (1.0, None, None)


def searched(*loads: tuple[float, State, bool]) -> list[Probe]:
    return [Probe(f"rate {load:g}/s", "rate", load, [of], trials=16, confirmation=long) for load, of, long in loads]


PLAN = CapacityPlan(tiers=[TIER], by=["rate"])


def test_the_answer_in_a_sentence() -> None:
    probes = [judge(Probe("rate 80/s", "rate", 80.0), [TIER], trials(1, 0.05))]
    probes += [judge(Probe("rate 90/s", "rate", 90.0), [TIER], trials(1, 0.2))]
    probes += searched((75.0, "passed", False), (80.0, "passed", True))
    (answer,) = capacity_result(PLAN, probes).answers
    assert (answer.low, answer.high, answer.confirmed, answer.ended) == (80.0, 90.0, True, "answered")
    assert answer.text.startswith("holds p99<500ms, errors<1% up to 80–90 requests/s; at 90 p99 is ")
    found = capacity_result(PLAN, probes)
    assert capacity_headline(found, Verdict("valid")) == "By rate: holds p99<500ms, errors<1% up to 80–90 requests/s."
    advice, evidence = capacity_findings(found)
    assert advice.startswith("Plan for at most 80/s for p99<500ms, errors<1%: at 90 p99 is ")
    assert "A long run confirmed the lower bound by rate for p99<500ms, errors<1%." in evidence
    assert (
        capacity_verdict(capacity_result(PLAN, probes), Verdict("invalid", [Reason("errors", "x")])).status == "valid"
    )


def test_a_search_that_was_stopped_is_inconclusive() -> None:
    found = capacity_result(PLAN, searched((10.0, "passed", False)))
    assert found.answers[0].ended == "stopped"
    judged = capacity_verdict(found, Verdict("inconclusive", []))
    assert (judged.status, [reason.code for reason in judged.reasons]) == ("inconclusive", ["capacity"])


def test_a_search_that_could_not_measure_is_invalid_and_says_why() -> None:
    gone = Probe("rate 10/s", "rate", 10.0, ["invalid"], trials_invalid=3, reason="the server could not be reached")
    found = capacity_result(PLAN, [gone, gone.__class__("rate 5/s", "rate", 5.0, ["invalid"], reason="the same")])
    judged = capacity_verdict(found, Verdict("invalid", []))
    assert (judged.status, [reason.code for reason in judged.reasons]) == ("invalid", ["capacity_invalid"])
    assert "rate 10/s is no bound: the server could not be reached" in judged.reasons[0].text
    assert capacity_findings(found)[-1] == "3 trials were invalid and left out: no bound rests on them."
    assert "invalid (0 trials, 3 invalid; the server could not be reached)" in probe_words(gone)


def test_one_invalid_trial_is_named_with_its_load_and_unit() -> None:
    spoiled = Probe("rate 10/s", "rate", 10.0, ["passed"], trials=4, trials_invalid=1, fault="it was late. Do this.")
    found = capacity_result(PLAN, [spoiled])
    words = "One trial was invalid and left out: no bound rests on it. The last one, at 10 requests/s: it was late."
    assert capacity_findings(found)[-1] == words


def test_the_head_of_the_states_names_several_slos_in_their_order() -> None:
    one = capacity_result(PLAN, searched((80.0, "passed", False)))
    again = msgspec.structs.replace(one.answers[0], slo="p99<2s, errors<1%")
    two = msgspec.structs.replace(one, answers=[one.answers[0], again])
    assert columns("rate", one)[:2] == ["rate", "state"]
    assert columns("rate", two)[1] == "p99<500ms / p99<2s"
    assert capacity_blocks(two)[0]["heads"] == columns("rate", two)


def test_damaged_records_make_the_search_invalid() -> None:
    found = capacity_result(PLAN, searched((80.0, "passed", False), (80.0, "passed", True), (90.0, "failed", False)))
    assert capacity_verdict(found, Verdict("invalid", [Reason("damaged", "x")])).status == "invalid"


def test_odd_and_undecided_loads_are_noted() -> None:
    probes = searched(
        (40.0, "passed", False), (60.0, "failed", False), (80.0, "passed", False), (50.0, "unresolved", False)
    )
    (answer,) = capacity_result(PLAN, probes).answers
    assert any("not monotonic: 80 passed although 60 failed" in note for note in answer.notes)
    assert any("part of the interval: 50 requests/s" in note for note in answer.notes)
    assert any("not confirmed" in note for note in answer.notes)

"""The search for a capacity, played against servers of a few lines: it ends, passes nothing too high, finds cliffs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.measure.capacity_result import State
from harness.measure.judge.capacity.bounds import ProbeEvidence, bounds, narrow
from harness.measure.judge.capacity.search import Rules, ended, next_step

Judge = Callable[[float, int, bool], tuple[State, ...]]
"""The states of a load after this many trials, or of the long run."""
RATE = Rules(start=10.0, lowest=0.1, highest=1e6)
WHOLE = Rules(start=4.0, lowest=1.0, highest=4096.0, whole=True)


def play(rules: Rules, judge: Judge, seconds: float = 1.0, limit: int = 2000) -> list[ProbeEvidence]:
    """Play a search to its end; at most `limit` steps."""
    seen: dict[tuple[float, bool], ProbeEvidence] = {}
    for _ in range(limit):
        asked = next_step(rules, list(seen.values()))
        if asked is None:
            return list(seen.values())
        key = (asked.load, asked.confirmation)
        trials = asked.trials + (seen[key].trials if key in seen else 0)
        states = judge(asked.load, trials, asked.confirmation)
        seen[key] = ProbeEvidence(asked.load, states, trials, seconds * trials, asked.confirmation)
    raise AssertionError(f"the search did not end within {limit} steps")


def exact(*capacities: float) -> Judge:
    """A server whose every probe shows the truth."""
    return lambda load, trials, long: tuple("passed" if load <= capacity else "failed" for capacity in capacities)


def noisy(capacity: float, rng: Random, sd: float = 0.3, z: float = 2.0) -> Judge:
    """Each trial measures load / capacity with noise; the interval of the mean over the trials decides."""
    drawn: dict[float, list[float]] = {}

    def judge(load: float, trials: int, long: bool) -> tuple[State, ...]:
        draws = [] if long else drawn.setdefault(load, [])
        while len(draws) < trials:
            draws.append(rng.gauss(math.log(load / capacity), sd / (4 if long else 1)))
        mean, half = sum(draws) / len(draws), z * sd / math.sqrt(len(draws))
        if long:
            return ("passed" if mean < 0 else "failed" if mean - half > 0 else "unresolved",)
        return ("passed" if mean + half < 0 else "failed" if mean - half > 0 else "unresolved",)

    return judge


@pytest.mark.no_cover
@given(capacity=st.floats(0.2, 4e5), start=st.floats(0.5, 1000.0), width=st.sampled_from([0.05, 0.15, 0.5]))
@settings(max_examples=200, deadline=None)
def test_the_interval_holds_the_capacity_and_is_as_narrow_as_asked_for(
    capacity: float, start: float, width: float
) -> None:
    rules = replace(RATE, start=start, width=width, probes_max=80)
    seen = play(rules, exact(capacity))
    found = bounds(seen, 0)
    assert ended(rules, seen, 0) == "answered"
    assert found.low is not None
    assert found.high is not None
    assert found.low <= capacity <= found.high
    assert found.high <= found.low * (1 + width) * (1 + 1e-9)
    assert len(seen) <= 45


@given(capacity=st.integers(1, 4000), start=st.integers(1, 500))
@settings(max_examples=200, deadline=None)
def test_a_concurrency_is_a_whole_number(capacity: int, start: int) -> None:
    rules = replace(WHOLE, start=float(start))
    seen = play(rules, exact(capacity))
    found = bounds(seen, 0)
    assert all(one.load == int(one.load) for one in seen)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= capacity < found.high
    assert narrow(found.low, found.high, rules.width, whole=True)


@pytest.mark.no_cover
@given(seed=st.integers(0, 10**6), capacity=st.floats(2.0, 5e4), sd=st.sampled_from([0.0, 0.05, 0.3, 1.0]))
@settings(max_examples=150, deadline=None)
def test_noise_ends_within_the_budget(seed: int, capacity: float, sd: float) -> None:
    rules = replace(RATE, probes_max=30)
    seen = play(rules, noisy(capacity, Random(seed), max(sd, 1e-9)))
    assert len(seen) <= rules.probes_max
    assert all(one.trials <= rules.trials_max for one in seen)


@pytest.mark.no_cover
def test_a_pass_is_not_above_the_truth_beyond_the_error_rate() -> None:
    """The interval of one look errs at 2.5 %; three looks at most, and a long run."""
    above = wide = missed = 0
    for seed in range(400):
        rules, capacity = RATE, 137.0
        seen = play(rules, noisy(capacity, Random(seed), 0.1))
        found = bounds(seen, 0)
        above += any(load > 1.1 * capacity for load in found.of("passed"))
        missed += not (found.low or 0) <= capacity <= (found.high or math.inf)
        wide += ended(rules, seen, 0) != "answered"
    assert above <= 4
    assert missed <= 400 * 0.08
    assert wide <= 400 * 0.5


@given(
    levels=st.lists(st.sampled_from(["passed", "failed", "unresolved", "invalid"]), min_size=1, max_size=40),
    whole=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_any_sequence_of_states_ends(levels: list[State], whole: bool) -> None:
    """A server that answers at random, even against itself, cannot keep the search going."""
    answers = iter(levels * 200)
    rules = WHOLE if whole else RATE
    seen = play(rules, lambda load, trials, long: (next(answers),))
    assert len(seen) <= rules.probes_max
    assert ended(rules, seen, 0) in {"answered", "unresolved", "at_highest", "fails", "invalid", "budget"}
    low, high = bounds(seen, 0).low, bounds(seen, 0).high
    assert low is None or high is None or low < high


def test_a_server_that_fails_at_every_load_ends_at_the_lowest() -> None:
    seen = play(RATE, exact(0.01))
    assert ended(RATE, seen, 0) == "fails"
    assert bounds(seen, 0).low is None
    assert bounds(seen, 0).high == RATE.lowest


def test_a_server_that_holds_at_the_highest_load_has_no_upper_bound() -> None:
    rules = replace(RATE, highest=1000.0)
    seen = play(rules, exact(math.inf))
    assert ended(rules, seen, 0) == "at_highest"
    assert (bounds(seen, 0).low, bounds(seen, 0).high) == (1000.0, None)


def test_an_unresolved_probe_gets_more_trials_and_never_counts_as_a_pass() -> None:
    def judge(load: float, trials: int, long: bool) -> tuple[State, ...]:
        return ("passed" if load < 70 else "failed" if load > 90 else "unresolved",)

    rules = replace(RATE, width=0.05)
    seen = play(rules, judge)
    undecided = [one for one in seen if one.states == ("unresolved",)]
    assert undecided
    assert all(one.trials == rules.trials_max for one in undecided)
    found = bounds(seen, 0)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 70
    assert found.high > 90
    assert ended(rules, seen, 0) == "unresolved"


def test_an_invalid_probe_is_no_bound() -> None:
    """The client is starved from 300/s on: the answer stays open above what could be measured."""

    def judge(load: float, trials: int, long: bool) -> tuple[State, ...]:
        return ("invalid" if load > 300 else "passed",)

    seen = play(RATE, judge)
    found = bounds(seen, 0)
    assert found.high is None
    assert found.low is not None
    assert 250 < found.low <= 300
    assert ended(RATE, seen, 0) == "invalid"


def test_a_server_that_is_not_there_ends_the_search_soon() -> None:
    seen = play(RATE, lambda load, trials, long: ("invalid",))
    assert len(seen) <= 3
    assert ended(RATE, seen, 0) == "invalid"


def test_a_dip_below_the_answer_is_found_and_reported() -> None:
    """Loads from 60 to 75 fail, 80 passes again: doubling from 10 steps over the dip."""

    def judge(load: float, trials: int, long: bool) -> tuple[State, ...]:
        return ("failed" if 60 <= load <= 75 or load > 85 else "passed",)

    seen = play(RATE, judge)
    found = bounds(seen, 0)
    assert found.high is not None
    assert 60 <= found.high <= 75
    assert found.odd == [80.0]
    failed = next(one for one in seen if one.load == found.high and not one.confirmation)
    assert failed.trials > RATE.trials or found.high < 75


def test_a_failure_by_chance_below_a_pass_is_doubted() -> None:
    """20/s fails with the first four trials only."""

    def judge(load: float, trials: int, long: bool) -> tuple[State, ...]:
        return ("failed" if load > 100 or (load == 20 and trials <= 4) else "passed",)

    rules = replace(RATE, start=160.0)
    seen = play(rules, judge)
    found = bounds(seen, 0)
    assert found.low is not None
    assert found.low > 80


def test_a_confirmation_that_does_not_pass_moves_the_bound_down() -> None:
    """Short trials pass up to 100, the long run only up to 90."""

    def judge(load: float, trials: int, long: bool) -> tuple[State, ...]:
        return ("passed" if load <= (90 if long else 100) else "failed" if long or load > 100 else "unresolved",)

    seen = play(RATE, judge)
    found = bounds(seen, 0)
    runs = [one for one in seen if one.confirmation]
    assert len(runs) >= 2
    assert found.low is not None
    assert found.low <= 90
    assert any(one.load == found.low and one.states == ("passed",) for one in runs)
    assert ended(RATE, seen, 0) == "answered"


def test_several_tiers_share_the_probes() -> None:
    rules = replace(RATE, tiers=3)
    seen = play(rules, exact(40.0, 90.0, 700.0))
    alone = sum(len(play(RATE, exact(capacity))) for capacity in (40.0, 90.0, 700.0))
    assert len(seen) < alone
    for tier, capacity in enumerate((40.0, 90.0, 700.0)):
        found = bounds(seen, tier)
        assert ended(rules, seen, tier) == "answered"
        assert (found.low or 0) <= capacity <= (found.high or 0)


@pytest.mark.parametrize(
    ("rules", "seconds"), [(replace(RATE, probes_max=3), 1.0), (replace(RATE, budget_s=12.0), 1.0)]
)
def test_a_spent_budget_is_said(rules: Rules, seconds: float) -> None:
    seen = play(rules, exact(1000.0), seconds)
    assert len(seen) <= 4
    assert ended(rules, seen, 0) == "budget"


def test_a_search_that_was_stopped_says_so() -> None:
    assert ended(RATE, [ProbeEvidence(10.0, ("passed",), 4)], 0) == "stopped"

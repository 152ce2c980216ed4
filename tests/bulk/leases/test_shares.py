"""Shares of a common rate and of a common number of calls in flight; the common slowing down."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bulk.leases.shares import Shares, divided
from harness.bulk.leases.throttle import Throttle

DEMANDS = st.dictionaries(st.sampled_from("abcdef"), st.one_of(st.floats(0, 500), st.just(math.inf)), min_size=1)


@given(total=st.floats(0, 1000), demands=DEMANDS)
def test_a_division_uses_the_total_and_is_max_min_fair(total: float, demands: dict[str, float]) -> None:
    """A worker that gets less than its demand gets no less than any other one."""
    shares = divided(total, demands)
    assert sum(shares.values()) == pytest.approx(total, abs=1e-6)
    short = [share for name, share in shares.items() if share < demands[name] - 1e-6]
    if short:
        assert min(short) >= max(shares.values()) - 1e-6 or min(short) >= total / len(shares) - 1e-6


@given(total=st.integers(0, 200), demands=DEMANDS)
def test_whole_shares_are_whole_and_add_up(total: int, demands: dict[str, float]) -> None:
    """Slots are not divisible."""
    shares = divided(total, demands, whole=True)
    assert all(share == int(share) >= 0 for share in shares.values())
    assert sum(shares.values()) == total


@given(
    asks=st.lists(
        st.tuples(st.sampled_from("abcd"), st.one_of(st.floats(0, 60), st.just(math.inf)), st.floats(0, 1.5)),
        max_size=60,
    )
)
def test_valid_shares_never_exceed_the_total(asks: list[tuple[str, float, float]]) -> None:
    """At no instant, in any order of requests."""
    shares, now = Shares(40.0, valid_s=2.0), 0.0
    valid: dict[str, tuple[float, float]] = {}
    for worker, demand, later in asks:
        now += later
        valid[worker] = (shares.ask(worker, demand, now), now + 2.0)
        assert sum(share for share, until in valid.values() if until >= now) <= 40.0 + 1e-6


def test_equal_demands_come_to_equal_shares_within_two_rounds() -> None:
    """A worker that has all gives the others theirs at its next message."""
    shares = Shares(200.0, valid_s=2.0)
    assert shares.ask("a", math.inf, 0.0) == 200.0
    assert shares.ask("b", math.inf, 0.0) == 0.0
    assert shares.ask("a", math.inf, 0.1) == 100.0
    assert shares.ask("b", math.inf, 0.1) == 100.0


def test_an_unused_part_goes_to_those_who_need_it() -> None:
    """And comes back when the demand does."""
    shares, now = Shares(100.0, valid_s=2.0), 0.0
    for _ in range(3):
        now += 0.1
        low, high = shares.ask("a", 10.0, now), shares.ask("b", math.inf, now)
    assert (low, high) == (pytest.approx(10.0), pytest.approx(90.0))
    for _ in range(3):
        now += 0.1
        low, high = shares.ask("a", math.inf, now), shares.ask("b", math.inf, now)
    assert (low, high) == (50.0, 50.0)


def test_calls_in_flight_count_until_they_end() -> None:
    """Slots of a worker that must use fewer are free only when its calls are."""
    shares = Shares(10, valid_s=2.0, whole=True)
    assert shares.ask("a", math.inf, 0.0) == 10
    assert shares.ask("b", math.inf, 0.1) == 0
    assert shares.ask("a", math.inf, 0.2, in_use=9) == 5
    assert shares.ask("b", math.inf, 0.3) == 1
    assert shares.ask("a", math.inf, 0.4, in_use=5) == 5
    assert shares.ask("b", math.inf, 0.5) == 5
    shares.leave("a")
    assert shares.granted("a") == 0
    assert shares.ask("b", math.inf, 0.6) == 10


def test_a_few_refusals_slow_nobody_and_many_slow_all() -> None:
    """With half refused the rate falls to where little is refused, and comes back afterwards."""
    throttle, now = Throttle(), 0.0
    for _ in range(30):
        now += 1.0
        throttle.report(200, 10, 0.0, now)
    assert throttle.factor > 0.9
    for _ in range(30):
        now += 1.0
        sent = 200 * throttle.factor
        throttle.report(round(sent), max(0, round(sent - 100)), 0.0, now)
    assert 0.5 <= throttle.factor <= 0.6
    for _ in range(15):
        now += 1.0
        throttle.report(100, 0, 0.0, now)
    assert throttle.factor == 1.0


def test_a_server_that_refuses_everything_of_one_worker_pauses_all() -> None:
    """For the time that it names, and for a minute at most."""
    throttle = Throttle()
    throttle.report(1, 1, 3.0, 10.0)
    assert throttle.pause_s(10.0) == 3.0
    assert throttle.pause_s(14.0) == 0.0
    throttle.report(1, 1, 1e9, 20.0)
    assert throttle.pause_s(20.0) == 60.0


def test_too_few_slots_are_used_in_turns() -> None:
    """With fewer slots than workers nobody waits for ever."""
    shares, had = Shares(3, valid_s=2.0, whole=True), dict.fromkeys("abcd", 0.0)
    for step in range(200):
        for name in had:
            had[name] += shares.ask(name, math.inf, step * 0.1)
    assert min(had.values()) > 0.2 * sum(had.values())

"""Service-time models: jitter has mean 1, growth follows its formula, limits count exactly."""

from __future__ import annotations

import math
from random import Random
from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_server.caller_limits import LimitBook, TokenBucket
from mock_server.growth import ExponentialGrowth, Growth, Linear, NoGrowth, Table, Usl
from mock_server.jitter import Constant, Empirical, Exponential, Gamma, Jitter, Lognormal
from mock_server.profile import Limits


@pytest.mark.parametrize(
    ("jitter", "cv"),
    [
        (Constant(), 0.0),
        (Exponential(), 1.0),
        (Lognormal(cv=0.5), 0.5),
        (Gamma(cv=0.5), 0.5),
        (Empirical(factors=(1.0, 2.0, 3.0)), math.sqrt(2 / 3) / 2),
    ],
)
def test_jitter_has_mean_one_and_the_spread_it_says(jitter: Jitter, cv: float) -> None:
    draw = jitter.sampler(Random(1))
    values = [draw() for _ in range(40_000)]
    assert fmean(values) == pytest.approx(1.0, abs=0.02)
    assert pstdev(values) == pytest.approx(cv, abs=0.03)


def test_jitter_is_seeded() -> None:
    draws = [Lognormal().sampler(Random("7/service")) for _ in range(2)]
    assert [draws[0]() for _ in range(5)] == [draws[1]() for _ in range(5)]


@pytest.mark.parametrize(
    ("growth", "n", "factor"),
    [
        (NoGrowth(), 1000, 1.0),
        (Linear(slope=0.5), 1, 1.0),
        (Linear(slope=0.5), 5, 3.0),
        (ExponentialGrowth(knee=10, rate=0.1), 10, 1.0),
        (ExponentialGrowth(knee=10, rate=0.1), 20, math.e),
        (ExponentialGrowth(knee=10, rate=0.1, factor_max=4.0), 1_000_000, 4.0),
        (Usl(sigma=0.1, kappa=0.01), 1, 1.0),
        (Usl(sigma=0.1, kappa=0.01), 11, 1 + 0.1 * 10 + 0.01 * 110),
        (Table(points=((1, 1.0), (11, 2.0)), unit="factor"), 6, 1.5),
    ],
)
def test_growth_follows_its_formula(growth: Growth, n: int, factor: float) -> None:
    assert growth.apply(0.2, n) == pytest.approx(0.2 * factor)


def test_a_table_in_seconds_is_the_service_time_and_goes_on_beyond_its_ends() -> None:
    table = Table(points=((1, 0.12), (50, 1.25), (1000, 15.0)))
    assert table.apply(99, 1) == 0.12
    assert table.apply(99, 50) == pytest.approx(1.25)
    assert table.apply(99, 1000) == pytest.approx(15.0)
    assert table.apply(99, 1950) == pytest.approx(28.75)
    assert table.scaled(6).apply(0, 50) == pytest.approx(1.25 / 6)
    assert Table(points=((5, 2.0),)).apply(0, 1) == Table(points=((5, 2.0),)).apply(0, 99) == 2.0


@given(st.floats(0.5, 500), st.integers(1, 50), st.lists(st.floats(0, 0.2), max_size=200))
def test_a_token_bucket_never_passes_more_than_rate_times_time_plus_burst(
    rate: float, burst: int, gaps: list[float]
) -> None:
    bucket, now, passed = TokenBucket(rate, burst), 0.0, 0
    for gap in gaps:
        now += gap
        passed += bucket.wait_s(now) == 0
        assert passed <= rate * now + burst + 1e-6


def test_a_token_bucket_gives_its_burst_at_once_and_says_when_the_next_is_due() -> None:
    bucket = TokenBucket(10, 3)
    assert [bucket.wait_s(5.0) for _ in range(3)] == [0, 0, 0]
    wait = bucket.wait_s(5.0)
    assert wait == pytest.approx(0.1)
    assert bucket.wait_s(5.0 + wait) == 0


def test_limits_refuse_over_the_number_in_flight_and_say_how_long_one_takes() -> None:
    book = LimitBook(Limits(in_flight=2))
    assert book.check(0.0) is None
    assert book.check(0.0) is None
    book.leave(0.4)
    assert book.check(0.5) is None
    refusal = book.check(0.5)
    assert refusal is not None
    assert (refusal.status, refusal.code, refusal.retry_after_s) == (429, "concurrency_limit_exceeded", 0.2)


def test_a_refusal_may_be_503() -> None:
    book = LimitBook(Limits(rate_per_s=1, status=503))
    book.check(0.0)
    refusal = book.check(0.0)
    assert refusal is not None
    assert (refusal.status, refusal.type, refusal.retry_after_s) == (503, "overloaded_error", pytest.approx(1.0))

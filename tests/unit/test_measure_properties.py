"""Properties of what is derived from records: exact in integers, whatever the rows."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.record.rows_file import REQUEST_DTYPE
from harness.measure.reduce import columns
from harness.measure.reduce.statistics import LEAST_N, PERCENTILES, distribution, histogram, quantile, t975
from harness.measure.reduce.timeline import in_flight

GAP = st.integers(0, 10**12)
INSTANT = st.integers(0, 10**15)


@st.composite
def request_rows(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    """Rows of requests that were sent, and of some that never were."""
    rows = np.zeros(draw(st.integers(1, 20)), REQUEST_DTYPE)
    for row in rows:
        row["due"] = draw(INSTANT)
        row["fired"] = row["due"] + draw(GAP)
        if draw(st.booleans()):
            row["first_sent"] = row["fired"] + draw(GAP)
            row["sent"] = row["first_sent"] + draw(GAP)
            row["done"] = row["sent"] + draw(GAP)
        else:
            row["first_sent"] = row["sent"] = -1
            row["done"] = row["fired"] + draw(GAP)
    return rows


@given(request_rows())
def test_latency_is_the_sum_of_its_four_parts_to_the_nanosecond(rows: np.ndarray[Any, Any]) -> None:
    """latency = lag + queue wait + retry time + service time, for sent and unsent requests; none is negative."""
    parts = [columns.lag(rows), columns.queue_wait(rows), columns.retry_time(rows), columns.service_time(rows)]
    assert np.array_equal(sum(parts), columns.latency(rows))
    assert all((part >= 0).all() for part in parts)


VALUES = st.lists(st.integers(0, 10**13), min_size=1, max_size=400).map(lambda v: np.array(v, np.int64))


@given(VALUES)
def test_a_percentile_is_an_observed_value_with_at_least_its_share_at_or_below_it(values: np.ndarray[Any, Any]) -> None:
    """Nearest rank: the smallest such value; nothing where n is too small."""
    ordered = np.sort(values)
    found = distribution([values])
    for name, p in PERCENTILES.items():
        quantile_s = getattr(found, name).value
        if len(values) < LEAST_N[name]:
            assert quantile_s is None
            continue
        value = round(quantile_s * 1e9)
        tolerance = 2  # a float of seconds holds 1e13 ns to within 2 ns
        assert abs(ordered - value).min() <= tolerance
        assert (ordered <= value + tolerance).mean() >= p - 1e-9
        assert (ordered < value - tolerance).mean() < p


@given(VALUES)
def test_a_histogram_counts_every_value_once(values: np.ndarray[Any, Any]) -> None:
    """Counts add up to n, edges ascend, and there are at most 200."""
    edges, counts = histogram(np.sort(values))
    assert sum(counts) == len(values)
    assert len(edges) == len(counts) + 1 <= 200
    assert all(low < high for low, high in itertools.pairwise(edges))


@given(st.lists(VALUES, min_size=3, max_size=6))
def test_an_interval_holds_its_percentile(repeats: list[np.ndarray[Any, Any]]) -> None:
    """low <= value <= high wherever the data bound a side."""
    ordered = [np.sort(values) for values in repeats]
    pooled = np.sort(np.concatenate(ordered))
    for p in PERCENTILES.values():
        found = quantile(pooled, p, 1, ordered)
        assert found.value is not None
        assert found.low is None or found.low <= found.value
        assert found.high is None or found.high >= found.value


def test_the_interval_covers_the_true_percentile_of_correlated_requests() -> None:
    """Clustered Woodruff over 5 repeats of a queue (M/M/1, rho 0.6) covers its true p90 in at least 85 of 100 runs."""
    rng = np.random.default_rng(5)
    rate, service = 0.6, 1.0
    true_p90 = -np.log(0.1) / (service - rate)  # the sojourn time of M/M/1 is exponential
    covered = 0
    for _ in range(100):
        repeats = [np.sort((_sojourns(rng, rate, service, 3000)[500:] * 1e9).astype(np.int64)) for _ in range(5)]
        found = quantile(np.sort(np.concatenate(repeats)), 0.9, 1, repeats)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= true_p90 <= found.high
    assert covered >= 85


def _sojourns(rng: np.random.Generator, rate: float, service: float, n: int) -> np.ndarray[Any, Any]:
    """Times in an M/M/1 system by Lindley's recursion, as a running maximum."""
    steps = rng.exponential(1 / service, n)[:-1] - rng.exponential(1 / rate, n)[1:]
    walk = np.concatenate([[0.0], np.cumsum(steps)])
    waits = walk - np.minimum.accumulate(walk)
    return np.asarray(waits + rng.exponential(1 / service, n))


def test_fewer_than_three_repeats_give_no_interval() -> None:
    """Two repeats say next to nothing about how repeats differ."""
    values = np.arange(1000)
    assert quantile(values, 0.5, 1, [values, values]).low is None


def test_t_quantiles_fall_towards_the_normal_one() -> None:
    """Against published values, beyond the table too."""
    known = {1: 12.706, 2: 4.303, 9: 2.262, 20: 2.086, 30: 2.042, 120: 1.980}
    assert all(abs(t975(df) - value) < 1e-3 for df, value in known.items())


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 1000)), min_size=1, max_size=60))
def test_in_flight_agrees_with_counting_every_instant(spans: list[tuple[int, int]]) -> None:
    """Mean and maximum of the sweep against brute force."""
    starts = np.array([start for start, _ in spans])
    ends = np.array([start + length for start, length in spans])
    makespan = int(ends.max())
    brute = [int(((starts <= t) & (t < ends)).sum()) for t in range(makespan)]
    found = in_flight(starts, ends, makespan)
    assert found.max == max(brute)
    assert found.mean is not None
    assert abs(found.mean - sum(brute) / makespan) < 1e-9

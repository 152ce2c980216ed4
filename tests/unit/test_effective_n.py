"""The effective sample size of latencies, and the percentiles that rest on too small a one."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from harness.measure.judge.roughness import rough_warning
from harness.measure.judge.tails import common_tail
from harness.measure.reduce import columns
from harness.measure.reduce.effective_n import LEAST, PIECE, effective_n
from harness.measure.reduce.statistics import distribution
from harness.measure.result import Case, Distribution, Load, Named, Quantile, Target
from reports import labels
from reports.formats import _facts
from tests.simulation.statistics.calibration import queue

Array = np.ndarray[Any, np.dtype[Any]]


def autoregressive(n: int, phi: float, seed: int = 1) -> Array:
    """A series whose effective size is n (1 - phi) / (1 + phi)."""
    noise = np.random.default_rng(seed).normal(size=n)
    values = np.empty(n)
    values[0] = noise[0] / np.sqrt(1 - phi**2)
    for place in range(1, n):
        values[place] = phi * values[place - 1] + noise[place]
    return values


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_the_effective_size_of_an_autoregressive_series_is_that_of_theory(phi: float) -> None:
    theory = 20_000 * (1 - phi) / (1 + phi)
    assert effective_n([autoregressive(20_000, phi)]) == pytest.approx(theory, rel=0.15)


def test_independent_values_count_almost_in_full() -> None:
    sizes = [effective_n([np.random.default_rng(seed).exponential(size=600)]) or 0 for seed in range(40)]
    assert np.median(sizes) > 500
    assert max(sizes) <= 600


def test_one_long_outlier_does_not_hide_a_correlation() -> None:
    values = autoregressive(5_000, 0.9)
    plain = effective_n([values])
    values[2_500] = 1e6
    assert effective_n([values]) == pytest.approx(plain, rel=0.05)


def test_repeats_and_pieces_add_up() -> None:
    values = autoregressive(2_000, 0.8)
    assert effective_n([values, values]) == pytest.approx(2 * (effective_n([values]) or 0))
    long = np.random.default_rng(1).normal(size=2 * PIECE + 100)
    assert effective_n([long]) == pytest.approx(len(long), rel=0.05)


def test_equal_values_count_in_full_and_few_values_have_no_effective_size() -> None:
    assert effective_n([np.full(50, 7)]) == 50
    assert effective_n([np.arange(LEAST - 1)]) is None
    assert effective_n([]) is None


def latencies(load: float, requests: int, repeats: int, seed: int = 1) -> list[Array]:
    """Latencies of a queue, in order of arrival."""
    rng = np.random.default_rng(seed)
    return [columns.latency(queue(load, requests, rng)) for _ in range(repeats)]


def test_a_percentile_of_a_busy_queue_is_rough_until_repeats_bound_it() -> None:
    """5,000 requests of a queue at 80 % load are one or two congestion episodes."""
    once = distribution(latencies(0.8, 5_000, 1), sequence=True)
    assert once.n == 5_000
    assert once.n_effective is not None
    assert 59 < once.n_effective < 299
    assert (once.p95.rough, once.p99.rough, once.p99_9.rough) == (False, True, True)
    assert once.p99.value is not None
    often = distribution(latencies(0.8, 5_000, 12), sequence=True)
    assert often.p99.high is not None
    assert not often.p99.rough


def test_a_percentile_of_independent_latencies_is_not_rough() -> None:
    values = np.random.default_rng(1).exponential(1e7, 2_000).astype(np.int64)
    found = distribution([values], sequence=True)
    assert not any(found_p.rough for found_p in (found.p50, found.p90, found.p95, found.p99))
    assert found.p99_9.value is None
    assert not found.p99_9.rough


def test_values_that_are_no_sequence_have_no_effective_size() -> None:
    found = distribution(latencies(0.8, 5_000, 1))
    assert found.n_effective is None
    assert not found.p99.rough


def case(spread: Distribution) -> Case:
    """A case under arrivals with this latency."""
    return Case("a", Named("a"), Load("poisson"), "similarity", Target("http://s"), latency_s=spread)


def test_a_warning_says_which_percentiles_are_rough_and_reports_mark_them() -> None:
    once = case(distribution(latencies(0.8, 5_000, 1), sequence=True))
    said = rough_warning(once) or ""
    assert said.startswith(
        "p99 and p99.9 of latency are rough (~): neighbouring requests are alike, so 5,000 are worth"
    )
    assert said.endswith("p99 needs 299. Use a longer run or more --repeats")
    assert labels.percentile(once.latency_s, "p99").startswith("~")
    assert not labels.percentile(once.latency_s, "p95").startswith("~")
    (row,) = _facts.percentiles(once)
    assert row[1:3] == ["5,000", f"{once.latency_s.n_effective:.0f}"]
    assert rough_warning(case(distribution(latencies(0.8, 5_000, 1)))) is None
    only = msgspec.structs.replace(Distribution(n=5_000, n_effective=500.0), p99_9=Quantile(1.0, rough=True))
    assert rough_warning(case(only)) is None


def test_cases_are_compared_by_a_percentile_that_is_not_rough() -> None:
    rough, sure = case(distribution(latencies(0.8, 5_000, 1), True)), case(distribution(latencies(0.8, 5_000, 1)))
    assert common_tail([sure], backlog=False) == "p99"
    assert common_tail([rough, sure], backlog=False) == "p95"
    few = msgspec.structs.replace(rough.latency_s, p50=msgspec.structs.replace(rough.latency_s.p50, rough=True))
    all_rough = {name: msgspec.structs.replace(getattr(few, name), rough=True) for name in ("p90", "p95")}
    hopeless = msgspec.structs.replace(rough, latency_s=msgspec.structs.replace(few, **all_rough))
    assert common_tail([hopeless], backlog=False) == "p99"

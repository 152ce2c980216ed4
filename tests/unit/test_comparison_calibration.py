"""How often comparisons are right under host drift: false alarms, power, and the sequential design beside them.

The host is that of the literature on shared runners: autocorrelated drift, in half of the experiments one shift of a
quarter, and 2 % noise in each repeat.
"""

from __future__ import annotations

import pytest

from tests.bench.comparison_error import Design, found_share

EXPERIMENTS = 400


@pytest.mark.parametrize("pairs", [6, 8, 12])
def test_equal_cases_are_called_different_in_at_most_5_percent(pairs: int) -> None:
    """The nominal 5 %, with the sampling error of 400 experiments."""
    assert found_share(Design.interleaved, pairs, 1.0, EXPERIMENTS, seed=1) <= 0.05 + 2 * 0.011


@pytest.mark.no_cover
@pytest.mark.parametrize("pairs", [8, 12])
def test_four_figures_together_are_called_different_in_at_most_5_percent(pairs: int) -> None:
    """Holm's correction: any of four independent figures."""
    assert found_share(Design.interleaved, pairs, 1.0, EXPERIMENTS, seed=2, figures=4) <= 0.05 + 2 * 0.011


def test_ten_percent_are_found_in_90_percent_of_experiments_with_12_pairs() -> None:
    assert found_share(Design.interleaved, 12, 1.1, EXPERIMENTS, seed=3) >= 0.9


def test_one_block_after_the_other_finds_the_drift() -> None:
    """Equal cases, all repeats of one before all of the other: false alarms, and more of them with more repeats."""
    few, many = (found_share(Design.sequential, pairs, 1.0, EXPERIMENTS, seed=4) for pairs in (5, 12))
    assert few > 0.15
    assert many > few

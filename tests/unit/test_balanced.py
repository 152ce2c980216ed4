"""The order of cases in rounds: random, reproducible, and fair to every case."""

from __future__ import annotations

from collections import Counter

import pytest

from harness.experiment.balanced import balanced_rounds


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_every_case_has_every_place_equally_often(count: int) -> None:
    for seed in range(20):
        rounds = balanced_rounds(count, 2 * count, seed)
        assert all(sorted(order) == list(range(count)) for order in rounds)
        places = Counter((place, case) for order in rounds for place, case in enumerate(order))
        assert set(places.values()) == ({2} if count > 1 else {2 * count})


def test_an_incomplete_block_differs_by_one() -> None:
    places = Counter((place, case) for order in balanced_rounds(3, 8, 1) for place, case in enumerate(order))
    assert set(places.values()) == {2, 3}


def test_the_seed_decides() -> None:
    assert balanced_rounds(4, 8, 7) == balanced_rounds(4, 8, 7)
    assert len({str(balanced_rounds(4, 8, seed)) for seed in range(20)}) > 15


def test_pairs_are_played_in_both_orders_at_random() -> None:
    """AB BA or BA AB in each block of two rounds, and which of them is not the same in all blocks."""
    rounds = balanced_rounds(2, 40, 3)
    blocks = [(rounds[at][0], rounds[at + 1][0]) for at in range(0, 40, 2)]
    assert set(blocks) == {(0, 1), (1, 0)}


def test_one_round_keeps_the_given_order() -> None:
    assert balanced_rounds(3, 1, 9) == [[0, 1, 2]]
    assert balanced_rounds(3, 0, 9) == []

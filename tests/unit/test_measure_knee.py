"""The edge of a sweep."""

from __future__ import annotations

from typing import Any

import pytest

from harness.measure.judge.sweep import edge


@pytest.mark.parametrize(
    ("levels", "best", "said"),
    [
        ([2, 4, 8], 8, "highest level tried"),
        ([2, 4, 8], 2, "lowest level tried"),
        ([2, 4, 8], 4, ""),
        ([1, 2, 4], 1, ""),
    ],
)
def test_a_best_level_at_the_edge_of_the_grid_says_so(levels: list[int], best: int, said: str) -> None:
    """One request in flight is the least there is, so it is no edge."""
    case: Any = None
    text = edge([(level, case) for level in levels], best)
    assert said in text
    assert bool(text) is bool(said)

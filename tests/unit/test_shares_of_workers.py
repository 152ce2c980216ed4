"""Each worker gets its share of the slow tests, and no test is lost on the way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.shares import in_shares


def test_every_piece_begins_with_slow_tests_and_ends_with_quick_ones() -> None:
    """As xdist cuts the list."""
    slow = [["a0", "a1"], ["b0"], ["c0", "c1"], ["d0"]]
    found = in_shares(slow, [f"q{number}" for number in range(10)], 2)
    assert found == ["a0", "a1", "c0", "c1", "q0", "q1", "q2", "q3", "b0", "d0", "q4", "q5", "q6", "q7", "q8", "q9"]


@given(sizes=st.lists(st.integers(0, 20), max_size=12), quick=st.integers(0, 50), workers=st.integers(1, 8))
def test_every_test_is_there_once(sizes: list[int], quick: int, workers: int) -> None:
    """Whatever the files and their lengths."""
    slow = [[(file, number) for number in range(size)] for file, size in enumerate(sizes)]
    rest = [(-1, number) for number in range(quick)]
    assert sorted(in_shares(slow, rest, workers)) == sorted([one for file in slow for one in file] + rest)

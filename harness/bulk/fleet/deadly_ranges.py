"""Finds ranges that end one worker after the other, such as by a row that exhausts the memory; pure."""

from __future__ import annotations

DEATHS_MAX = 5
"""Workers in a row that may end with a range, without one more line of it that is done."""


class DeadlyRanges:
    """Counts the workers that ended with each range."""

    def __init__(self) -> None:
        # Range -> workers in a row, and the most lines that were done.
        self._deaths: dict[int, tuple[int, int]] = {}

    def add(self, number: int, done: int) -> bool:
        """A worker has ended with a range of which so many lines were done; whether it is one too many."""
        deaths, before = self._deaths.get(number, (0, -1))
        deaths = deaths + 1 if done <= before else 1
        self._deaths[number] = (deaths, max(done, before))
        return deaths >= DEATHS_MAX

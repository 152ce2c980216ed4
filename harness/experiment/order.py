"""The order of a run: which repeat of which case comes next.

Rules of this file
  1. An order is pure: figures of the last repeat in, the next repeat out. It starts nothing and reads no clock.
  2. An order that searches (a sweep that stops early, a capacity search) may add cases. The plan then grows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from harness.experiment.balanced import balanced_rounds
from harness.experiment.spec import CaseSpec
from harness.measure.reduce.summary import Observed


class Order(Protocol):
    """Yields (case, number of the repeat), and gets the figures of each repeat before the next one is asked for."""

    def __iter__(self) -> Iterator[tuple[CaseSpec, int]]:
        """All repeats in order."""

    def ended(self, case: CaseSpec, repeat: int, observe: Callable[[], Observed]) -> None:
        """A repeat was played to its end. `observe` reads its figures from the records."""


class Interleaved:
    """Every repeat of every case in rounds, A B C, B C A: neither drift nor a place in the round favours a case.

    Repeats with the same number are played next to each other, so they are pairs for comparisons.
    """

    def __init__(self, cases: Sequence[CaseSpec]) -> None:
        self._cases = cases

    def __iter__(self) -> Iterator[tuple[CaseSpec, int]]:
        repeats = max((case.repeats for case in self._cases), default=0)
        seed = self._cases[0].seed if self._cases else 0
        rounds = enumerate(balanced_rounds(len(self._cases), repeats, seed))
        places = ((self._cases[place], repeat) for repeat, order in rounds for place in order)
        return iter([(case, repeat) for case, repeat in places if repeat < case.repeats])

    def ended(self, case: CaseSpec, repeat: int, observe: Callable[[], Observed]) -> None:
        """Nothing depends on the figures."""

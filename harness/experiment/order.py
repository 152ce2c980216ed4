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
from harness.measure.judge.precision import ended
from harness.measure.precision_result import PrecisionPlan
from harness.measure.reduce.summary import Observed
from harness.measure.result import Case


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


class UntilNarrow:
    """Rounds of all cases until their intervals are narrow or a budget is spent; the plan grows with each round.

    Each round has arrivals and texts of its own, the same for all cases. Repeats of one schedule would agree too well.
    """

    def __init__(
        self, cases: Sequence[CaseSpec], asked: PrecisionPlan, measure: Callable[[CaseSpec], Case | None]
    ) -> None:
        """`measure` returns the figures of a case over all its repeats so far."""
        self._cases = list(cases)
        self._asked = asked
        self._measure = measure
        self._spent_s = 0.0

    def __iter__(self) -> Iterator[tuple[CaseSpec, int]]:
        seed = self._cases[0].seed if self._cases else 0
        for repeat, order in enumerate(balanced_rounds(len(self._cases), self._asked.most, seed)):
            if ended(self._asked, repeat, self._spent_s, self._figures(repeat)):
                return
            for place in order:
                yield self._with(place, repeat + 1), repeat

    def ended(self, case: CaseSpec, repeat: int, observe: Callable[[], Observed]) -> None:
        """Add the time of a repeat."""
        observed = observe().case
        self._spent_s += 0.0 if observed is None else observed.makespan_s or 0.0

    def _with(self, place: int, repeats: int) -> CaseSpec:
        self._cases[place] = self._cases[place].with_own_schedules(repeats)
        return self._cases[place]

    def _figures(self, repeats: int) -> list[Case]:
        """The cases so far; none before the first look at the intervals."""
        if repeats < self._asked.least:
            return []
        found = (self._measure(self._with(place, repeats)) for place in range(len(self._cases)))
        return [case for case in found if case is not None]

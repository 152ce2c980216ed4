"""Gives the server time to empty its queue between two repeats.

A client that stops waiting for an answer does not end the work on it: a server that was overloaded goes on with the
queue of the last level, and would answer the next level late. The pause is longer after such a level, by the time that
its server needs for all calls that it may still hold: calls in flight / rate (Little's law).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache

from harness.experiment.order import Order
from harness.experiment.spec import CaseSpec
from harness.measure.reduce.summary import Observed
from harness.measure.result import Case


class Draining:
    """An order that waits before each repeat but the first."""

    def __init__(
        self, order: Order, pause_s: float, longest_s: float, wait: Callable[[float], None] = time.sleep
    ) -> None:
        self._order = order
        self._pause_s = pause_s
        self._longest_s = longest_s
        self._wait = wait
        self._rest_s = 0.0

    def __iter__(self) -> Iterator[tuple[CaseSpec, int]]:
        for case, repeat in self._order:
            if self._rest_s > 0:
                self._wait(self._rest_s)
            yield case, repeat

    def ended(self, case: CaseSpec, repeat: int, observe: Callable[[], Observed]) -> None:
        """Tell the order, and find how long to wait."""
        once = cache(observe)
        self._order.ended(case, repeat, once)
        self._rest_s = self._pause_s and self._pause_s + drain_s(once().case, self._longest_s)


def drain_s(case: Case | None, longest_s: float) -> float:
    """Seconds that the server needs for calls whose client no longer waits; 0 if every call was answered."""
    if case is None:
        return 0.0
    counts = case.counts
    if not (counts.timed_out + counts.cancelled - counts.stopped + counts.unfinished):
        return 0.0
    rate, held = case.rates_per_s.completed, case.in_flight.max
    return min(longest_s, held / rate) if rate and held else longest_s

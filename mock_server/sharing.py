"""Work that shares one machine: whatever joins or leaves makes all that is in service slower or faster, at once. Pure.

Rules of this file
  1. All jobs progress alike, on one clock of work that runs at 1 / factor(jobs in service). So a job's place in the
     order of ends is fixed when it begins, and one heap holds them.
  2. Time is told by the caller and may be told late: what ended before is found with the instant at which it ended,
     and a job that begins before the instant reached so far gets what it missed.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Generic, TypeVar

from mock_server.pauses import Pauses

Job = TypeVar("Job")
ROUNDING_S = 1e-9  # of instants: an end that is so near is reached


class Sharing(Generic[Job]):
    """Jobs in service, each with the seconds of work it needs alone; `factor(n)` is how much slower n make each."""

    def __init__(self, factor: Callable[[int], float]) -> None:
        self.pauses = Pauses()
        self._factor = factor
        self._heap: list[tuple[float, int, Job]] = []  # (clock of work at its end, number, job)
        self._over: list[tuple[float, Job]] = []
        self._begun = 0
        self._work = 0.0
        self._at = -math.inf

    def begin(self, at: float, seconds: float, job: Job) -> None:
        """A job joins."""
        self._advance(at)
        missed = self.pauses.worked_s(at, self._at) / self._factor(len(self._heap) + 1) if at < self._at else 0.0
        self._begun += 1
        heapq.heappush(self._heap, (self._work + seconds - missed, self._begun, job))

    def next_end(self) -> float:
        """When the next one is over if nothing joins; infinite if nothing is in service."""
        if self._over:
            return self._over[0][0]
        return self._head() if self._heap else math.inf

    def over(self, until: float) -> list[tuple[float, Job]]:
        """Those that were over by then, each once, with their instants."""
        self._advance(until)
        over, self._over = self._over, []
        return over

    def _advance(self, to: float) -> None:
        while self._heap and (end := self._head()) <= to + ROUNDING_S:
            work, _, job = heapq.heappop(self._heap)
            self._work, self._at = max(self._work, work), max(self._at, end)
            self._over.append((end, job))
        if to > self._at:
            if self._heap:
                self._work += self.pauses.worked_s(self._at, to) / self._factor(len(self._heap))
            self._at = to

    def _head(self) -> float:
        left = max(0.0, self._heap[0][0] - self._work)
        return self.pauses.ends(self._at, left * self._factor(len(self._heap)))

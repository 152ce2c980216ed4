"""Processor sharing: each job that joins or leaves changes the speed of all jobs in service. Pure.

Rules of this file
  1. All jobs progress equally, on one work clock that runs at 1 / factor(jobs in service). So the order in which jobs
     end is fixed when they begin, and one heap holds them.
  2. The caller passes the time and may pass it late: jobs that ended earlier are returned with the instant at which
     they ended, and a job that begins before the latest instant is credited with the work since its beginning.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Generic, TypeVar

from mock_server.pauses import Pauses

Job = TypeVar("Job")
# Rounding error of instants: an end at most so far in the future counts as reached.
ROUNDING_S = 1e-9


class Sharing(Generic[Job]):
    """Jobs in service, each with the seconds of work that it needs alone; `factor(n)` is the slowdown of n jobs."""

    def __init__(self, factor: Callable[[int], float]) -> None:
        self.pauses = Pauses()
        self._factor = factor
        self._heap: list[tuple[float, int, Job]] = []  # (work clock at its end, number, job)
        self._over: list[tuple[float, Job]] = []
        self._begun = 0
        self._work = 0.0
        self._at = -math.inf

    def begin(self, at: float, seconds: float, job: Job) -> None:
        """Add a job that needs `seconds` of work."""
        self._advance(at)
        missed = self.pauses.worked_s(at, self._at) / self._factor(len(self._heap) + 1) if at < self._at else 0.0
        self._begun += 1
        heapq.heappush(self._heap, (self._work + seconds - missed, self._begun, job))

    def next_end(self) -> float:
        """The next end if no job joins; infinite if no job is in service."""
        if self._over:
            return self._over[0][0]
        return self._head() if self._heap else math.inf

    def over(self, until: float) -> list[tuple[float, Job]]:
        """The jobs that ended by `until` with the instants of their ends; each job is returned once."""
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

"""Successes from which the limit learns later, several at once, as none of them can change it; pure.

Rules of this file
  1. At rest nothing happens before the window is full or a drain is due. The earliest instant of both is known, and the
     number of answers that the window lacks. Successes before that are only kept.
  2. All of them are learnt from, in their order, before the next sample is. So a limit that defers and one that does
     not are the same after every sample that may change them.
  3. To learn from many together costs less than from each at its end.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.client.types import Sample

if TYPE_CHECKING:
    from harness.client.limits.knee.search import Search

# At most so many are kept.
MOST = 1_000


class Deferred:
    """The samples that are kept, until when they may be, and how many."""

    __slots__ = ("most", "samples", "until")

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.until = -math.inf
        self.most = 0

    def plan(self, search: Search, now: float) -> None:
        """Defer successes from now on, if the search is at rest and nothing but its window and timetable waits."""
        if search.drain is not None or search.before_failures is not None or search.tolerance.share:
            return
        until, missing = search.window.not_full_until(now, search.latency_s)
        self.until = min(until, search.timetable.at)
        self.most = int(min(MOST, missing - 1))

    def catch_up(self, search: Search) -> None:
        """Learn from those that are kept."""
        self.until = -math.inf
        samples = self.samples
        if not samples:
            return
        count = len(samples)
        search.done.extend([sample.done for sample in samples])
        search.outage.count += count
        search.shares.ok += count
        search.unanswered.since += count
        search.window.extend(samples)
        samples.clear()

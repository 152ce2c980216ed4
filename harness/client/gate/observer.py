"""Tells whoever watches of every decision of a limit that learns.

Rules of this file
  1. It has no clock: a decision's instant is that of the answer which led to it, so that a simulation stays the same.
  2. Whoever watches is found in the context in which `stream` is iterated; it is no setting of a strategy.
  3. A fixed limit decides nothing and stays as it is; so does every limit while nobody watches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from harness.client.cause import Cause
from harness.client.limits.fixed import Fixed
from harness.client.protocols import ExplainedLimit, PacedLimit, SizedLimit
from harness.client.types import Limit, Outcome, Sample

Note = Callable[[float, int, int, str, float], None]
"""Gets instant, limit before, limit after, cause, and pace in attempts per second (infinity: none)."""

PACE_GRAIN = 0.01  # a pace that moves by less is the same pace

_watcher: ContextVar[Note | None] = ContextVar("watcher of limits", default=None)


@contextmanager
def watching(note: Note) -> Iterator[None]:
    """While it is open, limits that strategies begin with in this context tell `note` of each decision."""
    token = _watcher.set(note)
    try:
        yield
    finally:
        _watcher.reset(token)


def noted(limit: Limit) -> Limit:
    """The same limit, telling whoever watches in this context; unchanged if nobody does or it decides nothing."""
    note = _watcher.get()
    return limit if note is None or isinstance(limit, Fixed) else Noted(limit, note)


class Noted:
    """A limit that tells `note` whenever the value or the pace of the one inside has changed."""

    def __init__(self, limit: Limit, note: Note) -> None:
        self._limit = limit
        self._note = note
        self._update = limit.update
        self._told_per_s = math.inf
        self.value = limit.value
        self.uses_work = isinstance(limit, SizedLimit) and bool(limit.uses_work)
        self._explained = limit if isinstance(limit, ExplainedLimit) else None
        self._paced = limit if isinstance(limit, PacedLimit) else None
        if self._paced is not None:
            self.rate_per_s: float = self._paced.rate_per_s
            self._told_per_s = self.rate_per_s

    def update(self, sample: Sample, /) -> None:
        """As the limit's; cheap where nothing changes."""
        self._update(sample)
        limit, before = self._limit, self.value
        after = limit.value
        if self._paced is not None and self._paced.rate_per_s != self.rate_per_s:
            self.rate_per_s = self._paced.rate_per_s
            if after == before and _alike(self.rate_per_s, self._told_per_s):
                return
            self._told_per_s = self.rate_per_s
        elif after == before:
            return
        self.value = after
        cause = (self._explained.cause if self._explained else "") or _cause(sample, before, after)
        self._note(sample.done, before, after, cause, self._told_per_s)


def _alike(per_s: float, told_per_s: float) -> bool:
    return (1 - PACE_GRAIN) * told_per_s <= per_s <= (1 + PACE_GRAIN) * told_per_s


def _cause(sample: Sample, before: int, after: int) -> Cause:
    """The cause for a limit that gives none: the outcome of the last attempt."""
    if after > before:
        return Cause.raised
    if sample.outcome is Outcome.ok:
        return Cause.lowered
    return Cause.refused if sample.outcome is Outcome.rejected else Cause.failed

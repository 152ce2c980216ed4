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
from typing import Any

from harness.client.limits.fixed import Fixed
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
        self._paced = hasattr(limit, "rate_per_s")
        if self._paced:
            self.rate_per_s: float = limit.rate_per_s  # type: ignore[attr-defined] # it has one
            self._told_per_s = self.rate_per_s

    def __getattr__(self, name: str) -> Any:
        """What else the limit has: a cause, whether it uses work."""
        if name.startswith("__") or name in {"_limit", "rate_per_s"}:  # a copy asks before there is a limit
            raise AttributeError(name)
        return getattr(self._limit, name)

    def update(self, sample: Sample, /) -> None:
        """As the limit's; cheap where nothing changes."""
        self._update(sample)
        limit, before = self._limit, self.value
        after = limit.value
        if self._paced and limit.rate_per_s != self.rate_per_s:  # type: ignore[attr-defined] # it has one
            self.rate_per_s = limit.rate_per_s  # type: ignore[attr-defined] # as above
            if after == before and _alike(self.rate_per_s, self._told_per_s):
                return
            self._told_per_s = self.rate_per_s
        elif after == before:
            return
        self.value = after
        cause = getattr(limit, "cause", "") or _cause(sample, before, after)
        self._note(sample.done, before, after, cause, self._told_per_s)


def _alike(per_s: float, told_per_s: float) -> bool:
    return (1 - PACE_GRAIN) * told_per_s <= per_s <= (1 + PACE_GRAIN) * told_per_s


def _cause(sample: Sample, before: int, after: int) -> str:
    """For a limit that gives none: what it learnt from last."""
    if after > before:
        return "raised"
    if sample.outcome is Outcome.ok:
        return "lowered"
    return "refused" if sample.outcome is Outcome.rejected else "failed"

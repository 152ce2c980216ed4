"""Calls a hook at every change of an adaptive limit.

Rules of this file
  1. It has no clock: the instant of a change is that of the answer which led to it, so that simulations are repeatable.
  2. The hook is found in the context in which `stream` is iterated; it is not a setting of a strategy.
  3. A fixed limit never changes and is not wrapped; neither is any limit without a hook in its context.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from harness.client.cause import Cause
from harness.client.hooks import LimitDetails, LimitHook
from harness.client.limits.fixed import Fixed
from harness.client.protocols import BoundedLimit, ExplainedLimit, PacedLimit, QueueLimit, SizedLimit
from harness.client.types import Limit, Outcome, Sample

PACE_GRAIN = 0.01  # share of the pace; smaller changes of it are not reported

_hook: ContextVar[LimitHook | None] = ContextVar("hook for changes of limits", default=None)


@contextmanager
def watching(hook: LimitHook) -> Iterator[None]:
    """Calls `hook` at each change of a limit, for all strategies that start to stream in this context.

    Args:
        hook: Gets one `LimitDetails` (`harness.client.LimitDetails`). It must be quick and must not raise.
    """
    token = _hook.set(hook)
    try:
        yield
    finally:
        _hook.reset(token)


def observed(limit: Limit) -> Limit:
    """The limit, wrapped so that the hook of this context sees its changes; as it is, without one or if fixed."""
    hook = _hook.get()
    return limit if hook is None or isinstance(limit, Fixed) else ObservedLimit(limit, hook)


class ObservedLimit:
    """A limit that calls `hook` whenever the value or the pace of the limit inside has changed."""

    def __init__(self, limit: Limit, hook: LimitHook) -> None:
        self._limit = limit
        self._hook = hook
        self._update = limit.update
        self._reported_per_s = math.inf
        self.value = limit.value
        self.cause = ""
        self.uses_work = isinstance(limit, SizedLimit) and bool(limit.uses_work)
        self.uses_queue = isinstance(limit, QueueLimit) and bool(limit.uses_queue)
        self.maximum: float = limit.maximum if isinstance(limit, BoundedLimit) else math.inf
        self._explained = limit if isinstance(limit, ExplainedLimit) else None
        self._paced = limit if isinstance(limit, PacedLimit) else None
        if self._paced is not None:
            self.rate_per_s: float = self._paced.rate_per_s
            self._reported_per_s = self.rate_per_s

    def update(self, sample: Sample, /) -> None:
        """Update the limit inside; cheap where nothing changes."""
        self._update(sample)
        limit, before = self._limit, self.value
        after = limit.value
        if self._paced is not None and self._paced.rate_per_s != self.rate_per_s:
            self.rate_per_s = self._paced.rate_per_s
            if after == before and _alike(self.rate_per_s, self._reported_per_s):
                return
            self._reported_per_s = self.rate_per_s
        elif after == before:
            return
        self.value = after
        cause = (self._explained.cause if self._explained is not None else "") or _cause(sample, before, after)
        self.cause = cause
        self._hook(LimitDetails(sample.done, before, after, cause, self._reported_per_s))


def _alike(per_s: float, reported_per_s: float) -> bool:
    return (1 - PACE_GRAIN) * reported_per_s <= per_s <= (1 + PACE_GRAIN) * reported_per_s


def _cause(sample: Sample, before: int, after: int) -> Cause:
    """For a limit that gives no cause: the direction of the change and the last outcome."""
    if after > before:
        return Cause.raised
    if sample.outcome is Outcome.ok:
        return Cause.lowered
    return Cause.refused if sample.outcome is Outcome.rejected else Cause.failed

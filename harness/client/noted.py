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
from typing import Any

from harness.client.hooks import LimitDetails, LimitHook
from harness.client.limits.fixed import Fixed
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
        self._paced = hasattr(limit, "rate_per_s")
        if self._paced:
            self.rate_per_s: float = limit.rate_per_s  # type: ignore[attr-defined] # it has one
            self._reported_per_s = self.rate_per_s

    def __getattr__(self, name: str) -> Any:
        """Other attributes of the limit: a cause, whether it uses work."""
        # A copy asks for attributes before there is a limit.
        if name.startswith("__") or name in {"_limit", "rate_per_s"}:
            raise AttributeError(name)
        return getattr(self._limit, name)

    def update(self, sample: Sample, /) -> None:
        """Update the limit inside; cheap where nothing changes."""
        self._update(sample)
        limit, before = self._limit, self.value
        after = limit.value
        if self._paced and limit.rate_per_s != self.rate_per_s:  # type: ignore[attr-defined] # it has one
            self.rate_per_s = limit.rate_per_s  # type: ignore[attr-defined] # as above
            if after == before and _alike(self.rate_per_s, self._reported_per_s):
                return
            self._reported_per_s = self.rate_per_s
        elif after == before:
            return
        self.value = after
        cause = getattr(limit, "cause", "") or _cause(sample, before, after)
        self._hook(LimitDetails(sample.done, before, after, cause, self._reported_per_s))


def _alike(per_s: float, reported_per_s: float) -> bool:
    return (1 - PACE_GRAIN) * reported_per_s <= per_s <= (1 + PACE_GRAIN) * reported_per_s


def _cause(sample: Sample, before: int, after: int) -> str:
    """For a limit that gives no cause: the direction of the change and the last outcome."""
    if after > before:
        return "raised"
    if sample.outcome is Outcome.ok:
        return "lowered"
    return "refused" if sample.outcome is Outcome.rejected else "failed"

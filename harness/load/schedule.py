"""The due times of items: computed from a seed before the run, hashed, and the same for every strategy.

A backlog has every item due at zero. Arrivals have due offsets, which are never dropped, merged or re-anchored.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol, runtime_checkable

from harness import plugins
from harness.base import units
from harness.client.errors import UsageError
from harness.client.protocols import provides

BACKLOG = "backlog"
SESSIONS = "sessions"
# 160 MB of offsets. A longer load must be split into several runs.
ARRIVALS_MAX = 20_000_000


@runtime_checkable
class Recorded(Protocol):
    """A pacer whose arrivals carry recorded lengths."""

    def fingerprint(self, count: int, rng: Random) -> bytes:
        """Digest of what the first `count` arrivals carry."""
        ...


@runtime_checkable
class SelfEnding(Protocol):
    """A pacer whose arrivals may end before the duration."""

    ends_itself: bool


@dataclass(frozen=True)
class Schedule:
    """Due offsets in seconds since the load's zero, ascending; None for a backlog."""

    kind: str
    offsets: array[float] | None
    sha256: str
    # Length of the arrivals. Their number divided by it is the offered rate.
    span_s: float | None = None

    def __len__(self) -> int:
        return 0 if self.offsets is None else len(self.offsets)


def kinds() -> list[str]:
    """The names of all loads."""
    return sorted([BACKLOG, *plugins.names("load")])


def check(kind: str, settings: Mapping[str, Any]) -> Any:
    """The pacer of a load, or None for a backlog. Raises UsageError for an unknown kind or a bad setting."""
    if kind == BACKLOG:
        if settings:
            raise UsageError("load backlog has no settings; --items sets the number of items")
        return None
    if kind not in kinds() and ":" not in kind:
        raise UsageError(plugins.unknown("load", kind, kinds()))
    return plugins.build("load", kind, settings)


def compute(kind: str, settings: Mapping[str, Any], duration_s: float, items: int | None, seed: int) -> Schedule:
    """The complete schedule, limited to `items` arrivals and `duration_s` seconds."""
    pacer = check(kind, settings)
    identity = json.dumps([kind, dict(settings), items, seed], sort_keys=True, default=str).encode()
    if pacer is None:
        return Schedule(kind, None, hashlib.sha256(identity).hexdigest())
    offsets, cut = array("d"), provides(pacer, SelfEnding) and pacer.ends_itself
    for due_s in pacer.arrivals(duration_s, Random(seed)):
        if items is not None and len(offsets) >= items:
            cut = True
            break
        if len(offsets) >= ARRIVALS_MAX:
            raise UsageError(f"the load has more than {ARRIVALS_MAX:,} arrivals: lower --rate or --duration")
        offsets.append(due_s)
    if not offsets:
        raise UsageError(f"load {kind}: no arrival in {units.seconds(duration_s)}; raise --rate or --duration")
    span_s = _span_s(offsets, duration_s) if cut else duration_s
    carried = pacer.fingerprint(len(offsets), Random(seed)) if provides(pacer, Recorded) else b""
    return Schedule(kind, offsets, hashlib.sha256(identity + offsets.tobytes() + carried).hexdigest(), span_s)


def _span_s(offsets: array[float], duration_s: float) -> float:
    """Length of arrivals that end before their duration: up to the last one plus one mean gap."""
    gaps = len(offsets) - 1
    return min(duration_s, offsets[-1] * len(offsets) / gaps) if gaps and offsets[-1] > 0 else duration_s

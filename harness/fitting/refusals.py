"""The bounds of a server, from the requests that it refused: requests in flight, or a rate with a burst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.fitting.seen import Floats, Seen

_SAME_WAIT = 0.01
_AT_BOUND = 0.9
"""Share of the refusals that a bound of requests in flight explains, and how near to it they are."""


@dataclass(frozen=True)
class Refusals:
    """What a server refuses. None: never reached; then `in_flight_seen` is a lower bound."""

    status: int | None = None
    in_flight: int | None = None
    rate_per_s: float | None = None
    burst: int | None = None
    in_flight_seen: int = 0
    # Retry-After of a refusal: seconds if it is always the same, None if it is not. `tells`: whether there is one.
    retry_after_s: float | None = None
    tells: bool = True


def with_waits(found: Refusals, waits: Sequence[float | None]) -> Refusals:
    """The bounds with the Retry-After that refusals had."""
    if not waits:
        return found
    known = [wait for wait in waits if wait is not None]
    fixed = known and max(known) - min(known) <= _SAME_WAIT * max(known)
    return replace(found, tells=bool(known), retry_after_s=float(np.median(known)) if fixed else None)


def refusals(burst: Seen, arrivals: Seen | None, others: list[Seen]) -> Refusals:
    """The bounds that explain the refusals of a burst and of arrivals above the server's rate."""
    everything = [burst, *([arrivals] if arrivals is not None else []), *others]
    most = max(_most_in_flight(seen) for seen in everything)
    statuses = np.concatenate([seen.status[seen.refused] for seen in everything])
    if not len(statuses):
        return Refusals(in_flight_seen=most)
    status = int(np.bincount(statuses.astype(int)).argmax())
    accepted = int((~burst.refused).sum())
    by_rate = arrivals is not None and arrivals.refused.any() and not _at_bound(arrivals, most)
    if by_rate and arrivals is not None:
        taken = accepted if burst.refused.any() else None
        return Refusals(status, None, _rate(arrivals), taken, most)
    return Refusals(status, most, None, None, most)


def _in_flight(seen: Seen, at: Floats) -> Any:
    taken = ~seen.refused
    sent, done = np.sort(seen.sent[taken]), np.sort(seen.done[taken])
    return np.searchsorted(sent, at, side="right") - np.searchsorted(done, at, side="right")


def _most_in_flight(seen: Seen) -> int:
    taken = seen.sent[~seen.refused]
    return int(np.max(_in_flight(seen, taken))) if len(taken) else 0


def _at_bound(seen: Seen, bound: int) -> bool:
    """Whether the refusals came when nearly `bound` requests were in flight."""
    then = np.asarray(_in_flight(seen, seen.sent[seen.refused]))
    return bool((then >= _AT_BOUND * bound).mean() >= _AT_BOUND)


def _rate(seen: Seen) -> float:
    """Accepted requests per second, from the first refusal on."""
    first = seen.sent[seen.refused][0]
    taken = np.sort(seen.sent[~seen.refused & (seen.sent >= first)])
    return float((len(taken) - 1) / (taken[-1] - taken[0])) if len(taken) > 2 else 0.0

"""The bounds of a server, from the requests that it refused: requests in flight, or a rate with a burst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.fitting.seen import Bools, Floats, Seen

_REFUSALS_MIN = 2
_SAME_WAIT = 0.01
_AT_BOUND = 0.9
"""Share of the refusals that a bound of requests in flight explains, and how near to it they are."""


@dataclass(frozen=True)
class Refusals:
    """Bounds beyond which a server refuses. None: never reached; `in_flight_seen` then bounds both from below."""

    in_flight: int | None = None  # requests, refused with 429
    queue: int | None = None  # requests in the server, refused with 503
    rate_per_s: float | None = None
    burst: int | None = None
    rate_status: int = 429
    # Requests accepted before refusals that hardly any acceptance followed: a quota, which has no rate.
    quota: int | None = None
    in_flight_seen: int = 0
    items: int = 1  # of a request
    # Retry-After of a refusal: seconds if it is always the same, None if it is not.
    retry_after_s: float | None = None
    has_retry_after: bool = True

    def queue_max(self, workers: int) -> int | None:
        """Items that may wait; None if that bound was never reached."""
        return None if self.queue is None else max(0, (self.queue - workers) * self.items)


def with_waits(found: Refusals, waits: Sequence[float | None]) -> Refusals:
    """The bounds with the Retry-After that refusals had."""
    if not waits:
        return found
    known = [wait for wait in waits if wait is not None]
    fixed = known and max(known) - min(known) <= _SAME_WAIT * max(known)
    return replace(found, has_retry_after=bool(known), retry_after_s=float(np.median(known)) if fixed else None)


def refusals(burst: Seen, arrivals: Seen | None, others: list[Seen]) -> Refusals:
    """The bounds that explain the refusals of a burst and of arrivals above the server's rate, status by status."""
    everything = [burst, *([arrivals] if arrivals is not None else []), *others]
    most = max(_most_in_flight(seen) for seen in everything)
    found = Refusals(in_flight_seen=most, items=int(np.median([shape.items for shape in burst.shapes])))
    for status in (429, 503):
        count = sum(int((seen.refused & (seen.status == status)).sum()) for seen in everything)
        if count < _REFUSALS_MIN:
            continue
        of = None if arrivals is None else _only(arrivals, status)
        if of is not None and of.refused.any() and not _at_bound(arrivals or of, of.refused, most):
            at_once = _only(burst, status)
            taken = int((~at_once.refused).sum()) if at_once.refused.any() else None
            if (rate := _rate(of)) is None:
                found = replace(found, quota=int((~of.refused).sum()))
                continue
            found = replace(found, rate_per_s=rate, burst=taken, rate_status=status)
        elif status == 429:
            found = replace(found, in_flight=most)
        else:
            found = replace(found, queue=most)
    return found


def _only(seen: Seen, status: int) -> Seen:
    """The load as the limit with this status saw it: what another limit refused later counts as taken."""
    return replace(seen, refused=seen.refused & (seen.status == status))


def _in_flight(seen: Seen, at: Floats) -> Any:
    taken = ~seen.refused
    sent, done = np.sort(seen.sent[taken]), np.sort(seen.done[taken])
    return np.searchsorted(sent, at, side="right") - np.searchsorted(done, at, side="right")


def _most_in_flight(seen: Seen) -> int:
    taken = seen.sent[~seen.refused]
    return int(np.max(_in_flight(seen, taken))) if len(taken) else 0


def _at_bound(seen: Seen, refused: Bools, bound: int) -> bool:
    """Whether these refusals came when nearly `bound` requests were in flight."""
    then = np.asarray(_in_flight(seen, seen.sent[refused]))
    return bool((then >= _AT_BOUND * bound).mean() >= _AT_BOUND)


def _rate(seen: Seen) -> float | None:
    """Accepted requests per second, from the first refusal on; None if there are too few of them."""
    first = seen.sent[seen.refused][0]
    taken = np.sort(seen.sent[~seen.refused & (seen.sent >= first)])
    return float((len(taken) - 1) / (taken[-1] - taken[0])) if len(taken) > 2 and taken[-1] > taken[0] else None

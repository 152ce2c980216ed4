"""The bounds of a server, from the requests that it refused: requests in flight, or a rate with a burst.

Rules of this file
  1. A request is stamped before it has a connection, so those of a burst are in the server later and in another order
     than they were sent. Only answers show what was in the server.
  2. A refusal takes no time: requests that were sent before it and answered after it were in the server with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.fitting.seen import Bools, Floats, Seen

STATUSES = (429, 503)
_REFUSALS_MIN = 2
_SAME_WAIT = 0.01
_AT_BOUND = 0.9
"""Share of the refusals that a bound of requests in flight explains, and how near to it they are."""
_AGREE = 0.8
"""A bound is at least this share of what was surely in the server at once."""
_SURE = 0.5
"""Answers within this share of the shortest latency were in the server at the same time."""
_REFILLED = 0.5
"""A burst was the whole of it if it is less than this share of what the rate gives in the pause before the load."""
_EMPTY = 50
"""Refusals from which the size of a bucket is taken."""
_SAMPLE = 2000
"""Refusals of a load at which requests in flight are counted."""


@dataclass(frozen=True)
class Refusals:
    """Bounds beyond which a server refuses. None: never reached; `in_flight_seen` then bounds both from below."""

    in_flight: int | None = None  # requests, refused with 429
    queue: int | None = None  # requests in the server, refused with 503
    rate_per_s: float | None = None
    burst: int | None = None
    # The bucket was full when the arrivals began, as far as the time before it shows.
    burst_known: bool = True
    rate_status: int = 429
    # Requests accepted before refusals that hardly any acceptance followed: a quota, which has no rate.
    quota: int | None = None
    in_flight_seen: int = 0
    items: int = 1  # of a request
    # Whether all workers had whole batches at the refusals of the queue. A burst meets idle workers.
    queue_busy: bool = False
    # Items of a batch that left others waiting, if the server reports it.
    batch_items: float | None = None
    # Retry-After of a refusal: seconds if it is always the same, None if it is not.
    retry_after_s: float | None = None
    has_retry_after: bool = True

    def queue_max(self, workers: int, batch_items: int = 1) -> int | None:
        """Items that may wait; None if that bound was never reached, or if nothing waits."""
        if self.queue is None or not workers:
            return None
        if self.queue_busy:
            running = workers * (batch_items if self.batch_items is None else self.batch_items)
        else:
            running = workers * min(self.items, batch_items)
        return max(0, round(self.queue * self.items - running))

    def at_once_max(self, workers: int) -> int | None:
        """Requests in flight that are not refused, also of a server in which nothing waits; None: never reached."""
        known = [self.in_flight, self.queue if not workers else None]
        return min((one for one in known if one is not None), default=None)


def with_waits(found: Refusals, waits: Sequence[float | None]) -> Refusals:
    """The bounds with the Retry-After that refusals had."""
    if not waits:
        return found
    known = [wait for wait in waits if wait is not None]
    fixed = known and max(known) - min(known) <= _SAME_WAIT * max(known)
    return replace(found, has_retry_after=bool(known), retry_after_s=float(np.median(known)) if fixed else None)


def with_pause(found: Refusals, before: Sequence[Seen], pause_s: float) -> Refusals:
    """The bounds; after loads that emptied the bucket, its size is known if the pause before the arrivals filled it."""
    if found.rate_per_s is None or found.burst is None:
        return found
    emptied = any(bool(_by(seen, found.rate_status).any()) for seen in before)
    return replace(found, burst_known=not emptied or found.burst < _REFILLED * found.rate_per_s * pause_s)


def refusals(burst: Seen, arrivals: Seen | None, others: Sequence[Seen]) -> Refusals:
    """The bounds that explain the refusals of a burst and of arrivals above the server's rate, status by status."""
    loads = [*others, burst, *([arrivals] if arrivals is not None else [])]
    everything = list({id(seen): seen for seen in loads}.values())
    sure = _surely(everything)
    found = Refusals(
        in_flight_seen=max([sure, _left(burst, burst.refused), *(
            _most_in_flight(seen) for seen in everything if seen is not burst or not seen.refused.any()
        )]),
        items=int(np.median([shape.items for shape in burst.shapes])),
    )  # fmt: skip
    known = [one for one in STATUSES if sum(int(_by(seen, one).sum()) for seen in everything) >= _REFUSALS_MIN]
    rates = _rates(burst, arrivals, known, sure)
    for status in known:
        if arrivals is None or status not in rates:
            bound = _bound(burst, arrivals, everything, status)
            busy = arrivals is not None and bool(_by(arrivals, status).any())
            found = replace(found, in_flight=bound) if status == 429 else replace(found, queue=bound, queue_busy=busy)
        elif (rate := _rate(_only(arrivals, status))) is None:
            found = replace(found, quota=int((~_by(arrivals, status)).sum()))
        elif found.rate_per_s is None or rate < found.rate_per_s:
            found = replace(found, rate_per_s=rate, burst=_burst(arrivals, status, rate), rate_status=status)
    return found


def _rates(burst: Seen, arrivals: Seen | None, known: Sequence[int], sure: int) -> set[int]:
    """The statuses that are refusals of a rate: those of arrivals that no number of requests in flight explains."""
    found: set[int] = set()
    levels: dict[int, Floats] = {}
    for status in known:
        if arrivals is None or not _by(arrivals, status).any():
            continue
        then = _then(arrivals, _by(arrivals, status))
        if _at_bound(then, burst, _by(burst, status), sure):
            levels[status] = then
        else:
            found.add(status)
    # Behind a full queue a limit of the rate has nearly as many in flight. The bound itself has the most.
    medians = [float(np.median(then)) for then in levels.values()]
    if len(levels) > 1 and _AT_BOUND * max(medians) <= min(medians):
        found.add(min(levels, key=lambda status: float(levels[status].mean())))
    return found


def _at_bound(then: Floats, burst: Seen, refused: Bools, sure: int) -> bool:
    """Whether these numbers in flight at refusals are a bound, which a burst would have reached and not exceeded."""
    bound = float(np.median(then))
    if bound < 1 or (then >= _AT_BOUND * bound).mean() < _AT_BOUND:
        return False
    left = _left(burst, refused)
    return bound >= _AGREE * max(sure, left) - 1 and (not refused.any() or left >= bound / 2)


def _bound(burst: Seen, arrivals: Seen | None, everything: Sequence[Seen], status: int) -> int:
    """Requests in the server at refusals with this status: of arrivals, else of the burst, else of any load."""
    if arrivals is not None and (refused := _by(arrivals, status)).any():
        return max(1, round(float(np.median(_then(arrivals, refused)))))
    if (refused := _by(burst, status)).any():
        return max(1, _left(burst, refused))
    levels = [_then(seen, _by(seen, status)) for seen in everything]
    return max(1, round(float(np.median(np.concatenate(levels)))))


def _by(seen: Seen, status: int) -> Bools:
    """Which requests were refused with this status."""
    return np.asarray(seen.refused & (seen.status == status))


def _only(seen: Seen, status: int) -> Seen:
    """The load as the limit with this status saw it: what another limit refused later counts as taken."""
    return replace(seen, refused=_by(seen, status))


def _then(seen: Seen, refused: Bools) -> Floats:
    """How many accepted requests were in the server at each of these refusals."""
    sent, done = seen.sent[~seen.refused], seen.done[~seen.refused]
    places = np.flatnonzero(refused)
    if len(places) > _SAMPLE:
        places = places[np.linspace(0, len(places) - 1, _SAMPLE).astype(int)]
    before = np.searchsorted(sent, seen.sent[places], side="right")
    found = [(done[:count] > at).sum() for count, at in zip(before, seen.done[places], strict=True)]
    return np.array(found, float)


def _left(burst: Seen, refused: Bools) -> int:
    """Accepted requests of a burst that were in the server at the last of these refusals: by then all had arrived."""
    return int((burst.done[~burst.refused] > burst.done[refused].max()).sum()) if refused.any() else 0


def _surely(loads: Sequence[Seen]) -> int:
    """The most requests that were in the server at once, whenever they reached it."""
    lone = [seen.latency[seen.ok] for seen in loads if seen.concurrency == 1]
    known = np.concatenate(lone) if lone else np.empty(0)
    if not len(known):
        return 0
    window_s = _SURE * float(np.quantile(known, 0.05))
    most = 0
    for seen in loads:
        done = np.sort(seen.done[seen.ok])
        counts = np.arange(1, len(done) + 1) - np.searchsorted(done, done - window_s, side="left")
        most = max(most, int(counts.max(initial=0)))
    return most


def _most_in_flight(seen: Seen) -> int:
    sent, done = np.sort(seen.sent[~seen.refused]), np.sort(seen.done[~seen.refused])
    here = np.searchsorted(sent, sent, side="right") - np.searchsorted(done, sent, side="right")
    return int(here.max(initial=0))


def _burst(arrivals: Seen, status: int, rate: float) -> int | None:
    """Requests that a full bucket has room for: those taken until it was empty, without what came in meanwhile.

    Of arrivals, because it is not known when the requests of a burst reach the server.
    """
    refused = _by(arrivals, status)
    taken, empty = arrivals.sent[~refused], arrivals.sent[refused][:_EMPTY]
    before = np.searchsorted(taken, empty, side="right")
    if not before[0]:
        return None
    # It was full last when this one was taken.
    full = int(np.argmax(rate * taken[: before[0]] - np.arange(before[0])))
    room = before - full - rate * (empty - taken[full])
    # At a refusal there is part of a request in it, half of one on average.
    return max(1, round(float(np.median(room)) + 0.5))


def _rate(seen: Seen) -> float | None:
    """Accepted requests per second, from the first refusal on; None if there are too few of them."""
    first = seen.sent[seen.refused][0]
    taken = np.sort(seen.sent[~seen.refused & (seen.sent >= first)])
    return float((len(taken) - 1) / (taken[-1] - taken[0])) if len(taken) > 2 and taken[-1] > taken[0] else None

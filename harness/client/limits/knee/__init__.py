"""The limit `knee`: as many attempts in flight as the server works on, and a few own ones that wait.

Theory of operation
===================

*Goal.* A server works on K attempts at once (the knee); more wait. Below K throughput is lost, above it only the queue
grows. Own attempts that wait = own throughput x queueing delay (Little's law). The limit keeps that number small:
`wanted queue = 0.4 x sqrt(limit)`, and at least one attempt, or a third of the limit if that is less. So

    own knee = limit - own throughput x queueing delay,    limit = own knee + wanted queue.

*Several clients.* At a first-come server all clients meet the same delay W, and the own queue of each is its throughput
times W. If all keep the same queue, all have the same throughput. A rule of the kind "more in flight gave more
answers" has no such balance: with a small share more always gives more, at the cost of the others. So no such rule
raises the limit. It may only take growth back (plateau.py).

*Queueing delay* (quantiles.py). Waiting adds the same time to every quantile of latency. So the delay is the difference
between low quantiles of latency now and of the service time. That needs a quarter of the answers that means need, and
rare long attempts do not disturb it. Every delay has a standard error; decisions wait for, or grant, some of them.

*Service time* (base.py, timetable.py). It shows only while nothing waits. Therefore the limit is lowered for a moment
now and then: a drain, at round times of the machine's monotonic clock. All clients on a machine drain at the same
instants; one alone could not end the queue of all. Only attempts that were sent after the queue had ended count. A
queue can only make a drain look slower, so faster drains are believed at once, slower ones when confirmed.

*Phases* (phases.py, doubling.py, draining.py).

    start   Double the limit until attempts clearly wait (start.py): ending too early costs more than a step too far.
            At the instants at which all clients drain, it drains, too: else a client that joins others takes their
            queue for service, and its own growth falls into their drains.
    rest    Windows of some 32 answers (window.py) give the own knee; some hundred answers are pooled (own_knee.py).
            The limit moves to the knee, one standard error on the safe side, and the wanted queue. From the second
            window without a queue on it grows by 6 %, 12 %, 24 % .. 50 % a window, at most to the double between two
            drains. A limit that was lost is regained by 50 % a window, up to 90 % of it.
    drain   Lower the limit to 70 % or less for about two service times. Then look at a quarter more for a window, which
            shows new capacity that a rest without a queue cannot show. Where refusals keep the queue away, it
            drains only at every fourth of these instants.

*Contention.* A server whose service itself slows down with every attempt shows no queue. Growth by a quarter that did
not add answers is taken back (plateau.py).

*Refusals and time-outs* (ceiling.py, refusals.py). A refusal comes back at once, and its place is free again. So from
then on attempts start at most 1.5 times as often as they end, until enough are accepted. More than a few refusals lower
the limit to what was in flight before the refused attempt, and the bound of the rate stays. That limit is not tried
again for 3.4 s, growing to 30 s, and not before the server's Retry-After, of which 30 s count at most. Refused three
times in a row with ever fewer in flight, the server limits a rate, not a number: attempts are then paced (`rate_per_s`,
pacing.py). If refusals go on at half of the limit or of the pace, they do not depend on the load, and their share is
tolerated (tolerance.py).

*Unanswered attempts* (unanswered.py). A time-out comes late, and the attempt holds its slot until then. If the server
answers others meanwhile, a few per cent of time-outs lower nothing, as a lower limit would cost more answers. While
they last there are no looks at more, growth waits for the time of a time-out, and a drain leaves them their slots.

*Outages* (outage.py). If nothing at all is accepted, that is an outage or a spent quota, and says nothing about the
number in flight. It is known by failures in a row with no older attempt in flight, or before that by older attempts
that end without a new one being accepted (search.py): a full server takes a new one for each. The state from before the
first failure is restored when the server accepts an attempt again; until then probes are sent, at intervals that grow.
Outages at even intervals are a quota. Attempts are then paced at the rate that is accepted over whole periods, and the
pace grows once in a period.

*Reports* (reported_queue.py). If the server reports how long requests waited, or answers with streams, the waiting
attempts are known, and the search is not needed.

*Cost* (deferred.py). Between two decisions successes are only kept; the limit learns from them together.

*Ignored outcomes.* Outcomes that the caller caused (client_error, cancelled, not_sent, bad_response) never move the
limit. Errors of the server (5xx) do not lower it; nothing but errors is an outage. Latency is divided by the relative
size of an attempt, and the client's own lateness is subtracted.

`seek` chooses the queue that is wanted. `cause` says why the limit last changed. How `knee` compares with other limits,
and where it is weak, is measured in docs/adaptive.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from harness.client.checks import between
from harness.client.errors import SettingError
from harness.client.limits.knee import phases, refusals
from harness.client.limits.knee.ceiling import OVERLOAD
from harness.client.limits.knee.reported_queue import follow
from harness.client.limits.knee.search import SEEK, Search
from harness.client.types import Outcome, Sample, Signal

# Each look at a member of an enumeration costs as much as a comparison.
_OK = Outcome.ok


@dataclass
class Knee:
    """As many in flight as the server works on, and a few own ones that wait; measured in short drains.

    Args:
        initial: Attempts in flight at the start. Default 4.
        minimum: Lower bound of the limit, in attempts. Default 1.
        maximum: Upper bound of the limit, in attempts. Default 256.
        seek: Own attempts that wait at the server: hardly any ("latency"), few ("balanced") or more ("throughput").
            Default "balanced".
        server_queue: Whether the queueing delays that a server reports take the place of the search. Default True.
    """

    initial: int = 4
    minimum: int = 1
    maximum: int = 256
    seek: Literal["latency", "balanced", "throughput"] = "balanced"
    server_queue: bool = True
    uses_work: ClassVar[bool] = True
    # Attempts allowed in flight, now. It is no setting, so no field; each attempt reads it, so no property.
    value = 0

    def __post_init__(self) -> None:
        between(self, 1, 1_000_000, "initial", "minimum", "maximum")
        if self.maximum < self.minimum:
            raise SettingError(f"maximum={self.maximum} must be at least minimum={self.minimum}")
        if self.seek not in SEEK:
            raise SettingError(f"seek={self.seek!r} must be one of {', '.join(SEEK)}")
        self._search = search = Search(self.initial, self.minimum, self.maximum, SEEK[self.seek])
        self._deferred = search.deferred
        self.value = search.value
        # Of the last change, for logs and charts.
        self.cause = search.cause
        # Infinite unless attempts are paced.
        self.rate_per_s = search.rate_per_s

    @property
    def uses_queue(self) -> bool:
        """Whether samples are to carry what the server reports of its queue."""
        return self.server_queue

    def update(self, sample: Sample, /) -> None:
        """Learn from one attempt, or keep it for later. A window of some dozen latencies is sorted at its end."""
        deferred = self._deferred
        if (
            sample.done < deferred.until
            and len(deferred.samples) < deferred.most
            and sample.outcome is _OK
            and sample.queue_s is None
            and sample.first_s is None
        ):
            deferred.samples.append(sample)
            return
        search = self._search
        deferred.catch_up(search)
        if _learn(search, sample):
            self.value, self.cause, self.rate_per_s = search.value, search.cause, search.rate_per_s


def _learn(search: Search, sample: Sample) -> bool:
    """Learn from one attempt. True if the limit or the pace may have changed."""
    ok = sample.outcome is _OK
    before = search.before_failures
    if ok:
        search.done.append(sample.done)
        search.outage.count += 1
        search.shares.ok += 1
        search.unanswered.since += 1
        if search.tolerance.share:
            search.tolerance.accepted()
        if before is not None and refusals.accepted(search, before, sample):
            return True
    elif sample.signal is Signal.ignored:
        # The time that it held a slot is taken out of the measurement. The comparison is false for NaN.
        if search.pacing is None and sample.latency_s >= 0.0:
            search.window.add(sample)
        return False
    elif refusals.failed(search, sample):
        return True
    if search.pacing is not None:
        refusals.follow_pace(search, search.pacing, sample)
        return True
    if ok:
        may_follow = search.reported_queue.is_followed or sample.queue_s is not None or sample.first_s is not None
        if may_follow and search.reported_queue.takes(sample):
            return follow(search, sample) or before is not None
        return phases.learn(search, sample) or before is not None
    if sample.outcome in OVERLOAD:
        changed = refusals.refused(search, sample, sample.generation == search.changes)
        if changed:
            search.reported_queue.refused(tolerated=search.tolerance.share > 0.0)
    # A failure may have bound the rate.
    return True

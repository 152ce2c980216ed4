"""The limit `knee`: finds the fewest attempts in flight that give all the throughput there is, and follows that number.

Theory of operation
===================

*Measurements.* While a limit N is used in full, in flight = throughput x latency (Little's law). So the mean
latency R(N) gives the throughput N / R(N), and only one thing has to be found: the N at which R leaves its floor. That
is the knee. A measurement is a block of attempts under one limit (block.py): a mean latency and its standard error. If
the application did not use the limit, the block says nothing.

*Model.* The latency model (curve.py) holds all measurements and fits curves to them: latency is a (1 + k N / K)
up to the knee K, and in proportion to N beyond it. Each candidate K gets a probability by how well its best curve
explains the measurements. A few noisy samples give a wide distribution, and therefore no decision.

*Phases* (phases.py), each of which judges a full block:

    start   Double the limit, until the knee is behind it with a probability of 85 %.
    rest    Stay at the knee plus a small standing queue of sqrt(K) / 2, which keeps every worker busy and is shared
            fairly by several clients at one server. Move only if latency changed beyond noise: lower, try more; higher,
            drain to what the curve allows and probe soon.
    fewer   A probe at two thirds of the limit (one half up to 12). It shows how much of the latency is queueing.
    more    Then a probe at one and a half times the limit, and again while more attempts add throughput.

Probes start at round times of the machine's monotonic clock (timetable.py), so that all clients on a machine probe
together: one client alone cannot see that all of them together send too much. While probes bring nothing new, they
become rarer. Latency that is still above its base with only a few in flight is the server's own, and the curve is
learned again; with more in flight it may be caused by other clients, and the probe goes lower.

*Refusals and time-outs* (ceiling.py, refusals.py). More than a few of them lower the limit to what was in flight before
the refused attempt. That limit is not tried again for 2 s, growing to 30 s, and not before the server's Retry-After.
Refused three times in a row with ever fewer in flight, the server limits a rate, not a number: attempts are then paced
(`rate_per_s`, pacing.py). If half of the pace is refused as often, refusals do not depend on the load, and their share
is tolerated (tolerance.py).

*Outages* (outage.py). If nothing at all is accepted, that is an outage or a spent quota, and says nothing about the
number in flight. The state from before the first failure is restored when the server accepts an attempt again; until
then probes are sent, at intervals that grow.

*Reports* (told.py). If the server reports how long requests waited, or answers with streams, the waiting attempts are
known, and the search is not needed.

*Ignored outcomes.* Outcomes that the caller caused (client_error, cancelled, not_sent, bad_response) never move the
limit. Errors of the server only cost throughput. Latency is divided by the relative size of an attempt, and the
client's own lateness is subtracted.

`seek` chooses where to rest: before the knee, at it, or past it. `cause` says why the limit last changed. How `knee`
compares with other limits, and where it is weak, is measured in docs/adaptive.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from harness.client.checks import between
from harness.client.errors import SettingError
from harness.client.limits.knee import phases, refusals
from harness.client.limits.knee.ceiling import OVERLOAD
from harness.client.limits.knee.resume import resume
from harness.client.limits.knee.search import SEEK, Search
from harness.client.limits.knee.told import follow
from harness.client.types import Outcome, Sample, Signal


@dataclass
class Knee:
    """The fewest in flight for all the throughput there is: doubling start, a fitted latency curve, sparse probes.

    Args:
        initial: Attempts in flight at the start. Default 4.
        minimum: Lower bound of the limit, in attempts. Default 1.
        maximum: Upper bound of the limit, in attempts. Default 256.
        seek: Place to rest: before the knee ("latency"), at it ("balanced") or past it ("throughput"). Default
            "balanced".
        server_queue: Whether the queueing delays that a server reports take the place of the search. Default True.
    """

    initial: int = 4
    minimum: int = 1
    maximum: int = 256
    seek: Literal["latency", "balanced", "throughput"] = "balanced"
    server_queue: bool = True
    uses_work: ClassVar[bool] = True

    def __post_init__(self) -> None:
        between(self, 1, 1_000_000, "initial", "minimum", "maximum")
        if self.maximum < self.minimum:
            raise SettingError(f"maximum={self.maximum} must be at least minimum={self.minimum}")
        if self.seek not in SEEK:
            raise SettingError(f"seek={self.seek!r} must be one of {', '.join(SEEK)}")
        self._search = search = Search(self.initial, self.minimum, self.maximum, SEEK[self.seek])
        # Of the last change, for logs and charts.
        self.cause = search.cause
        # Infinite unless attempts are paced.
        self.rate_per_s = search.rate_per_s

    @property
    def value(self) -> int:
        """Attempts allowed in flight, now."""
        return self._search.value

    @property
    def uses_queue(self) -> bool:
        """Whether samples are to carry what the server reports of its queue."""
        return self.server_queue

    def resume(self, value: int, latency_s: float, service_s: float) -> None:
        """Begin at rest, with what an earlier run learnt; the first probe, soon, measures it again."""
        resume(self._search, value, latency_s, service_s)

    def update(self, sample: Sample, /) -> None:
        """Learn from one attempt, in constant time except for the fit after a probe."""
        search = self._search
        if _learn(search, sample):
            self.cause, self.rate_per_s = search.cause, search.rate_per_s


def _learn(search: Search, sample: Sample) -> bool:
    """Learn from one attempt. True if the limit or the pace may have changed."""
    current = sample.generation == search.changes
    if sample.outcome is Outcome.ok:
        search.done.append(sample.done)
        search.outage.count += 1
        if search.tolerance.share:
            search.tolerance.accepted()
        before = search.before_failures
        if before is not None and refusals.accepted(search, before, sample):
            return True
    elif sample.signal is Signal.ignored:
        # The time that it held a slot is taken out of the measurement. The comparison is false for NaN.
        if search.pacing is None and sample.latency_s >= 0.0:
            search.block.add(sample, current)
        return False
    elif refusals.failed(search, sample):
        return True
    if search.pacing is not None:
        refusals.follow_pace(search, search.pacing, sample)
        return True
    if sample.outcome is Outcome.ok and search.told.takes(sample):
        return follow(search, sample)
    if sample.outcome in OVERLOAD:
        search.told.refused()
        return refusals.refused(search, sample, current)
    if search.block.add(sample, current):
        phases.judge(search, sample.done)
        return True
    return search.phase == "rest" and phases.probe_if_due(search, sample.done)

"""Reaction of `knee` to refusals: lower the limit, or follow the rate that the server accepts."""

from __future__ import annotations

from harness.client.cause import Cause
from harness.client.limits.knee.ceiling import Accepted
from harness.client.limits.knee.search import Search
from harness.client.types import Outcome, Sample


def lower(search: Search, now: float) -> None:
    """Lower the limit to what was accepted. If that was done repeatedly, the server limits a rate: pace attempts."""
    if search.phase == "start":
        if not search.curve.seen:
            search.curve.add(1, 0.1, 1.0)
            search.curve.fit()
        search.timetable.soon(now, search.curve.free(search.value))
    elif search.phase != "rest":
        search.schedule_probe(now)
    search.phase = "rest"
    search.drained_from = 0
    search.calibrated = True
    least = search.ceiling.cut(search.value, now)
    if least or len(search.done) < 2:
        search.move(float(least), Cause.refused, now)
        return
    search.accepted = Accepted(search.done, now)
    search.rate_per_s = search.accepted.rate_per_s
    search.move(2.0 * search.value + 4, Cause.paced, now)


def follow_pace(search: Search, accepted: Accepted, sample: Sample) -> None:
    """Adjust the pace. Stop pacing once the number in flight, and not the pace, has been the bound for long."""
    if accepted.add(sample):
        search.rate_per_s = accepted.rate_per_s
        search.cause = Cause.pace_changed
    bounded = sample.outcome is Outcome.ok and sample.in_flight >= search.value
    search.unpaced = search.unpaced + 1 if bounded else 0
    if search.unpaced > 3 * search.value + 30:
        search.accepted, search.unpaced = None, 0
        search.ceiling.lift()
        search.calibrated = False
        search.move(search.wanted, Cause.pace_ended, sample.done)

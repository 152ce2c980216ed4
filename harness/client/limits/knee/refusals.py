"""Reaction of `knee` to refusals: lower the limit, follow the rate that the server accepts, or wait for the server."""

from __future__ import annotations

import copy
import math

from harness.client.cause import Cause
from harness.client.limits.knee.pacing import Pacing
from harness.client.limits.knee.search import BURST, BeforeFailures, Search
from harness.client.types import Outcome, Sample


def refused(search: Search, sample: Sample, current: bool) -> bool:
    """An attempt was refused, while others are accepted. True if the limit changed."""
    search.window.add(sample)
    if search.tolerance.share and search.tolerance.excuses(sample.done):
        return False
    search.shares.refused()
    alone, few = False, False
    if sample.outcome is Outcome.timed_out:
        alone = len(search.done) == search.done.maxlen and search.done[0] > sample.sent
        if alone:
            # So many were answered meanwhile that it is no outage, which would restore the limit.
            search.before_failures = None
            few = not search.unanswered.timed_out(sample)
        # It was admitted long ago, and still counts if no more are admitted now.
        current = sample.in_flight <= search.value
    ceiling = search.ceiling
    counts = current and ceiling.refused(sample, search.value, search.service_s, search.shares.ok, alone) and not few
    if ceiling.row and search.shares.halved(search.value):
        if search.shares.unknown:
            return False
        if search.shares.stayed:
            _tolerate(search, search.shares.share, sample.done)
            return True
    if counts:
        lower(search, sample.done)
    return counts


def lower(search: Search, now: float) -> None:
    """Lower the limit to what was accepted. If that was done repeatedly, the server limits a rate: pace attempts."""
    search.rest(now)
    search.own_knee.clear()
    search.unanswered.lowered()
    least = search.ceiling.cut(search.value, now)
    if search.ceiling.row == 1:
        # Once more is accepted again, it is regained quickly, and only the last tenth slowly.
        search.regain = max(search.regain, float(search.value))
    search.shares.lowered(search.value, first=search.ceiling.row == 1)
    if least or len(search.done) < 2:
        search.move(float(least), Cause.refused, now)
        return
    _pace(search, len(search.done) / max(1e-9, now - search.done[0]), now)


def _pace(search: Search, rate_per_s: float, now: float, period_s: float = 0.0) -> None:
    search.pacing = Pacing(rate_per_s, now, period_s)
    search.rate_per_s = rate_per_s
    # The pace is the bound now, so the number in flight must not be one.
    search.ceiling.lift()
    search.move(max(2.0 * search.value + 4, search.ceiling.cut_from), Cause.paced, now)


def follow_pace(search: Search, pacing: Pacing, sample: Sample) -> None:
    """Adjust the pace. Stop pacing once the number in flight, and not the pace, has been the bound for long."""
    if pacing.add(sample):
        search.rate_per_s = pacing.rate_per_s
        search.cause = Cause.pace_changed
    if pacing.in_vain:
        _tolerate(search, pacing.in_vain, sample.done)
        return
    bounded = sample.outcome is Outcome.ok and sample.in_flight >= search.value
    search.unpaced = search.unpaced + 1 if bounded else 0
    if search.unpaced > 3 * search.value + 30:
        _end_pace(search, search.wanted, sample.done)


def _tolerate(search: Search, share: float, now: float) -> None:
    """Refusals do not depend on the load, so the limit was lowered in vain."""
    search.tolerance.begin(share, now)
    _end_pace(search, search.ceiling.cut_from, now)


def _end_pace(search: Search, wanted: float, now: float) -> None:
    search.pacing, search.unpaced = None, 0
    search.ceiling.lift()
    search.move(wanted, Cause.pace_ended, now)


def failed(search: Search, sample: Sample) -> bool:
    """An attempt failed. True if nothing is accepted: then only probes are sent, and nothing is learnt."""
    before = search.before_failures
    if before is None:
        before = search.before_failures = _state(search, sample)
    if search.outage.failed(sample, search.tolerance.streak_min, before.failed(sample)):
        search.rate_per_s = 1.0 / search.outage.interval_s
        search.cause = Cause.outage
    elif search.pacing is None and not search.outage.active and sample.outcome is not Outcome.timed_out:
        # Its place is free at once, so without a bound each refusal would start an attempt that is refused, too.
        search.rate_per_s = min(search.rate_per_s, BURST * search.value / search.latency_s)
    return search.outage.active


def accepted(search: Search, before: BeforeFailures, sample: Sample) -> bool:
    """An attempt succeeded after failures. True if nothing else is to be learnt from it.

    If nothing was accepted for a while, go on as before that. An older attempt that ends meanwhile shows nothing.
    """
    now = sample.done
    if search.outage.active and sample.sent > before.at:
        search.outage.end(now)
    elif not before.had_room(sample):
        if before.is_over:
            search.before_failures = None
            search.bound_bursts(search.value)
        return search.outage.active
    search.before_failures = None
    _restore(search, before, now)
    pace_per_s = math.inf if search.pacing is None else search.pacing.rate_per_s
    quota_per_s = search.outage.quota_per_s(pace_per_s)
    if quota_per_s < pace_per_s:
        _pace(search, quota_per_s, now, search.outage.period_s)
    return True


def _state(search: Search, first: Sample) -> BeforeFailures:
    ceiling = copy.copy(search.ceiling)
    moves = search.wanted, search.phase, ceiling, search.pacing, search.rate_per_s
    return BeforeFailures(first.done, first.in_flight, *moves)


def _restore(search: Search, before: BeforeFailures, now: float) -> None:
    search.ceiling, search.pacing, search.rate_per_s = before.ceiling, before.pacing, before.rate_per_s
    search.done.clear()
    if search.pacing is not None:
        search.pacing.begin(now)
    if before.phase == "start":
        search.phase = "start"
        search.begin.block = None
    else:
        search.rest(now)
    search.move(before.wanted, Cause.outage_ended, now)

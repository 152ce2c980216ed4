"""Decisions of `knee` while attempts are accepted, by phase: start, rest, drain."""

from __future__ import annotations

import math

from harness.client.cause import Cause
from harness.client.limits.knee import doubling, draining
from harness.client.limits.knee.draining import SETTLED
from harness.client.limits.knee.own_knee import KneeEstimate
from harness.client.limits.knee.search import Search
from harness.client.types import Sample

# After a look at more, measurements begin after so many latencies.
SETTLED_MORE = 0.5
# The least growth of a window without a queue.
GROW_STEP = 0.25
# A queue of less than this share of the wanted one is none.
NO_QUEUE = 0.5
# Growth of a window without a queue, doubled each time, up to the second, which also regains a lost limit.
FIRST_STEP, STEP_MAX, REGAIN_TO = 0.03, 0.5, 0.9
DOUBLINGS_MAX = 10
# Share of the way to the goal that is gone in one step, unless the goal is further off than this share of the limit.
STEP, FAR = 0.5, 0.2


def learn(search: Search, sample: Sample) -> bool:
    """Learn from a success. True if the limit may have changed."""
    now = sample.done
    if search.phase == "start":
        return doubling.learn(search, sample)
    drain = search.drain
    if drain is not None:
        drain.add(sample)
        if search.phase == "drain":
            if now < drain.ends:
                return False
            draining.end(search, drain, now)
            return True
        if now >= drain.known_at:
            draining.learn(search, drain)
    window, drain_at = search.window, search.timetable.at
    window.add(sample)
    if now >= drain_at:
        return draining.begin(search, now)
    if drain_at == math.inf:
        # It followed the server's reports until now, or begins with what was learnt.
        search.rest(now)
    if window.full(now, search.latency_s):
        search.ceiling.passed(search.value, now)
        _judge_rest(search, now)
        return True
    search.deferred.plan(search, now)
    return False


def _judge_rest(search: Search, now: float) -> None:
    window, value = search.window, search.value
    if not window.used:
        search.measure(now)
        return
    measured = window.measured(now)
    search.latency_s = measured.latency_s
    if value <= search.minimum:
        search.base.rested(window.latencies_s, measured.quantiles)
    more, search.more = search.more, False
    if not more:
        search.last = (now, measured)
        back_to = search.plateau.add(measured, now)
        if back_to:
            search.own_knee.clear()
            search.regain, search.grown = 0.0, 0
            search.move(back_to, Cause.more_ended, now, settled=SETTLED)
            return
    known = search.base.known
    estimate = None if known is None else search.own_knee.add(measured, known)
    if estimate is None:
        search.move(search.wanted, Cause.probe_ended, now, settled=SETTLED_MORE if more else 0.0)
        return
    if estimate.smaller:
        search.regain = max(search.regain, search.wanted)
        search.timetable.earlier(now, search.service_s, search.latency_s)
    _follow(search, estimate, now, more)


def _follow(search: Search, estimate: KneeEstimate, now: float, more: bool) -> None:
    """Move towards the own knee with the queue that is wanted."""
    value, seek = search.value, search.seek
    search.knee = knee = min(float(value), estimate.knee + seek.safety * estimate.error)
    goal = knee + seek.queue(knee)
    wanted, cause = search.wanted, Cause.fewer_suffice
    if value - knee < NO_QUEUE * seek.queue(value):
        search.grown += 1
        # A limit at its maximum may want to grow for hours, so the power is bounded.
        doubled = FIRST_STEP * 2.0 ** min(search.grown - 1, DOUBLINGS_MAX)
        step = STEP_MAX if value < REGAIN_TO * search.regain else min(STEP_MAX, doubled)
        if search.grown > 1:
            goal = max(goal, value * (1 + step), wanted + GROW_STEP)
        wanted, cause = max(wanted, min(goal, _top(search, now))), Cause.more_pays
        if wanted > search.ceiling.top(now) and search.unanswered.recent(now):
            # Growth that time-outs hold back begins with small steps, as the next ones come late.
            search.grown = 1
        if wanted >= search.grow_to:
            search.timetable.earlier(now, search.service_s, search.latency_s)
    else:
        search.grown = 0
        wanted += (goal - wanted) * (STEP if abs(goal - wanted) < FAR * value else 1.0)
        if estimate.smaller:
            cause = Cause.slower
    search.move(wanted, cause, now, settled=SETTLED_MORE if more else 0.0)


def _top(search: Search, now: float) -> float:
    """The limit up to which it may grow."""
    regain = REGAIN_TO * search.regain
    top = min(max(search.grow_to, regain), search.plateau.top(now), search.unanswered.top(search.value, now))
    return min(top, max(regain, float(search.value))) if search.plateau.waits(search.value) else top

"""Decisions of `knee` while attempts are accepted, by phase: start, rest, drain."""

from __future__ import annotations

import math

from harness.client.cause import Cause
from harness.client.limits.knee.base import Drain
from harness.client.limits.knee.own_knee import Estimate
from harness.client.limits.knee.search import Search
from harness.client.limits.knee.timetable import together
from harness.client.limits.knee.window import LATENCY_MIN_S
from harness.client.types import Sample

# Start: the limit after it is at least this share of the last.
START_MIN = 0.5
# After a larger change, measurements begin after so many latencies.
SETTLED, SETTLED_MORE = 1.5, 0.5
# A drain leaves at least this share of the limit, at most this share of the knee, and one half while little is known:
# fewer answers than these.
DRAIN_MIN, DRAIN_KNEE, DRAIN_FIRST, KNOWN = 0.15, 0.8, 0.5, 24
# How long it lasts, in service times, beside the time in which the queue ends; longer if few are in flight, until so
# many answers are expected, more of them while little is known.
DRAIN_SERVICES, DRAIN_SERVICES_MAX, QUEUE_ENDS = 2.0, 6.0, 0.2
DRAIN_ANSWERS, DRAIN_ANSWERS_FIRST, KNOWN_WELL = 8, 16, 100
# The latencies before it are those of the last seconds.
RECENT_S = 2.0
# After so many more latencies most attempts of a drain are back.
DRAIN_BACK = 1.5
# The look at more after a drain: factor and attempts.
MORE, MORE_LEAST = 1.25, 0.0
# Growth between two drains: factor and attempts.
GROW, GROW_LEAST = 2.0, 1.0
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
        return _learn_start(search, sample)
    drain = search.drain
    if drain is not None:
        drain.add(sample.sent, now, max(LATENCY_MIN_S, sample.latency_s) / sample.work)
        if search.phase == "drain":
            if now < drain.ends:
                return False
            _end_drain(search, now)
            return True
        if now >= drain.known_at:
            _learn_drain(search, drain, now)
    window = search.window
    window.add(sample)
    if now >= search.timetable.at:
        return _begin_drain(search, now)
    if search.timetable.at == math.inf:
        # It followed the server's reports until now, or begins with what was learnt.
        search.rest(now)
    if window.full(now, search.latency_s):
        search.ceiling.passed(search.value, now)
        _judge_rest(search, now)
        return True
    return False


# Start: double until attempts wait.


def _learn_start(search: Search, sample: Sample) -> bool:
    begin, value, now = search.begin, search.value, sample.done
    block = begin.block
    if block is None or block.value != value:
        block = begin.begin(value)
    if not block.add(sample, sample.generation == search.changes):
        if block.failed:
            begin.begin(value, value + 1)
        return False
    search.ceiling.passed(value, now)
    if not block.used:
        begin.begin(value, value + 1)
        search.measure(now)
        return False
    search.latency_s = block.latency_s
    waiting = begin.judge(block)
    if waiting is None:
        return False
    if not waiting and value < min(search.maximum, search.ceiling.top(now)):
        search.move(2.0 * value, Cause.doubling, now)
        begin.begin(search.value, value)
        return True
    knee = min(value * (1.0 - waiting), begin.best)
    wanted = max(knee + search.seek.queue(knee), START_MIN * min(value, begin.best)) if waiting else float(value)
    search.rest(now)
    search.grow_to = wanted
    search.move(wanted, Cause.doubling_ended, now, settled=SETTLED)
    if waiting and begin.blocks == 2:
        search.timetable.at = now + search.latency_s
    return True


# Rest: how many of the own attempts wait?


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


def _follow(search: Search, estimate: Estimate, now: float, more: bool) -> None:
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
    top = min(max(search.grow_to, regain), search.plateau.top(now))
    return min(top, max(regain, float(search.value))) if search.plateau.waits(search.value) else top


# Drain: the latency without a queue; then a look at more.


def _begin_drain(search: Search, now: float) -> bool:
    base, value, service_s = search.base, search.value, search.service_s
    if not base.soon and search.grown and search.ceiling.met:
        # Refusals keep the queue away.
        search.timetable.plan(now, service_s, search.latency_s, soon=False)
        search.grow_to = GROW * value + GROW_LEAST
        return False
    depth = base.depth if base.count >= KNOWN else min(DRAIN_FIRST, base.depth)
    low = min(int(depth * value), int(value - search.seek.queue(value) - 1.0))
    if search.knee:
        low = min(low, int(DRAIN_KNEE * search.knee - 0.5))
    low = max(search.minimum, int(DRAIN_MIN * value), low)
    if low >= value:
        search.timetable.plan(now, service_s, search.latency_s, base.soon > 0)
        return False
    begins = now + (1.0 - low / value) * search.latency_s + QUEUE_ENDS * service_s
    answers = DRAIN_ANSWERS if base.count >= KNOWN_WELL else DRAIN_ANSWERS_FIRST
    ends = begins + service_s * max(DRAIN_SERVICES, min(DRAIN_SERVICES_MAX, answers / low))
    search.drain = Drain(
        begins=begins,
        ends=ends,
        known_at=ends + DRAIN_BACK * search.latency_s,
        share=low / value,
        before=search.last[1].quantiles if search.last is not None and search.last[0] > now - RECENT_S else None,
        deepest=low <= search.minimum,
        together=together(now, service_s),
        value=float(value),
    )
    search.phase = "drain"
    search.grow_to = GROW * value + GROW_LEAST
    search.move(low, Cause.probe_fewer, now, probe=True)
    return True


def _end_drain(search: Search, now: float) -> None:
    search.phase, search.more = "rest", True
    search.move(MORE * search.wanted + MORE_LEAST, Cause.probe_more, now, probe=True, settled=SETTLED)
    search.timetable.plan(now, search.service_s, search.latency_s, search.base.soon > 0)


def _learn_drain(search: Search, drain: Drain, now: float) -> None:
    search.drain = None
    base = search.base
    if base.learn(drain, search.value):
        search.own_knee.clear()
    fewer = 0.0 if base.found is None else search.plateau.drained(drain, base.found, drain.value, now)
    if 0.0 < fewer < search.wanted:
        search.own_knee.clear()
        search.regain, search.grown, search.more = 0.0, 0, False
        search.move(fewer, Cause.fewer_suffice, now, settled=SETTLED)

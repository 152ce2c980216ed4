"""The drains of `knee`: a moment with fewer attempts in flight, which shows the latency without a queue."""

from __future__ import annotations

from harness.client.cause import Cause
from harness.client.limits.knee.base import Drain
from harness.client.limits.knee.quantiles import Quantiles
from harness.client.limits.knee.search import Search
from harness.client.limits.knee.timetable import together

# After a larger change, measurements begin after so many latencies.
SETTLED = 1.5
# A drain leaves at least this share of the limit, at most this share of the knee, and one half while little is known:
# fewer answers than these.
DRAIN_MIN, DRAIN_KNEE, DRAIN_FIRST, KNOWN = 0.15, 0.8, 0.5, 24
# During the start a queue of the own attempts may stand already: this share of what exceeds so many attempts.
START_SHARE, START_LEAST = 0.5, 6
# How long it lasts, in service times, beside the time in which the queue ends; longer if few are in flight, until so
# many answers are expected, more of them while little is known.
DRAIN_SERVICES, DRAIN_SERVICES_MAX, QUEUE_ENDS = 2.0, 6.0, 0.2
DRAIN_ANSWERS, DRAIN_ANSWERS_FIRST, KNOWN_WELL = 8, 16, 100
# The latencies before it are those of the last seconds, at limits that differ by this factor at most.
RECENT_S, SAME = 2.0, 1.25
# While refusals keep the queue away, only every so many drains.
RARELY = 4
# After so many more latencies most attempts of a drain are back.
DRAIN_BACK = 1.5
# The look at more after a drain: factor and attempts.
MORE, MORE_LEAST = 1.25, 0.0
# Growth between two drains: factor and attempts.
GROW, GROW_LEAST = 2.0, 1.0


def begin(search: Search, now: float) -> bool:
    """Lower the limit. False if there is nothing to lower, or no need."""
    base, value, service_s = search.base, search.value, search.service_s
    left_out = search.unanswered.recent(now) or not together(now, service_s, RARELY)
    if left_out and search.ceiling.met and search.grown and not base.soon:
        # Refusals keep the queue away, if no other client keeps one.
        search.timetable.plan(now, service_s, search.latency_s, soon=False)
        search.grow_to = GROW * value + GROW_LEAST
        return False
    # What is not answered keeps its slots.
    stuck = min(search.unanswered.under_way(now), value // 2)
    low = stuck + _low(search, value - stuck, stuck)
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
        share=(low - stuck) / (value - stuck),
        before=_before(search, now),
        deepest=low <= search.minimum,
        together=together(now, service_s),
        value=float(value),
        in_start=search.phase == "start",
    )
    search.phase = "drain"
    search.grow_to = GROW * value + GROW_LEAST
    search.move(low, Cause.probe_fewer, now, probe=True)
    return True


def _before(search: Search, now: float) -> Quantiles | None:
    """The latencies just before a drain, if they were measured at about its limit."""
    if search.last is None:
        return None
    at, measured = search.last
    same = 1.0 / SAME <= measured.value / search.value <= SAME
    return measured.quantiles if same and at > now - RECENT_S else None


def _low(search: Search, value: int, stuck: int) -> int:
    """The limit of a drain from `value`, without those that are not answered."""
    base = search.base
    depth = base.depth if base.count >= KNOWN else min(DRAIN_FIRST, base.depth)
    low = min(int(depth * value), int(value - search.seek.queue(value) - 1.0))
    if search.knee:
        low = min(low, int(DRAIN_KNEE * (search.knee - stuck) - 0.5))
    if search.phase == "start":
        low = min(low, int(START_SHARE * (value - START_LEAST)))
    return max(search.minimum, int(DRAIN_MIN * value), low)


def end(search: Search, drain: Drain, now: float) -> None:
    """Return to the limit before it: to the start, or at rest with a look at more."""
    if drain.in_start:
        # The server may have been too slow for the number in flight to fall to the limit of the drain.
        in_flight, search.phase = max(float(search.value), drain.value - drain.ended), "start"
        search.move(search.wanted, Cause.doubling, now)
        search.begin.begin(search.value, int(in_flight))
        return
    search.phase, search.more = "rest", not search.unanswered.recent(now)
    if search.more:
        search.move(MORE * search.wanted + MORE_LEAST, Cause.probe_more, now, probe=True, settled=SETTLED)
    else:
        search.move(search.wanted, Cause.probe_ended, now, settled=SETTLED)
    search.timetable.plan(now, search.service_s, search.latency_s, search.base.soon > 0)


def learn(search: Search, drain: Drain) -> None:
    """Learn from a drain whose attempts are back."""
    search.drain = None
    if search.base.learn(drain, search.value):
        search.own_knee.clear()
    if search.base.known is None:
        # It was too short for the service time, so the fastest block of the start was so by chance.
        search.begin.fastest = None


def learn_in_start(search: Search, drain: Drain) -> None:
    """Learn from a drain of the start, if it was faster than every block: then others were waiting, too."""
    search.drain = None
    fastest = search.begin.fastest
    if fastest is None or not drain.is_faster(fastest):
        return
    search.base.learn(drain, search.value)
    search.begin.fastest = search.base.known

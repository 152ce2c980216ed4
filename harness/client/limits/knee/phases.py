"""Decisions of `knee` after a full block, by phase: start, rest, a probe at fewer, a probe at more."""

from __future__ import annotations

import math
from collections.abc import Callable

from harness.client.cause import Cause
from harness.client.limits.knee.search import BEHIND, REST_MIN, Phase, Search

# Start: a block may grow to this many responses, in multiples of the limit, before its end is believed.
START_AGAIN, START_AGAIN_MAX = 24, 96
# Probability at which the knee is behind the limit, so that doubling ends.
STOP = 0.85
# Standard error given to a measurement that was made while a queue was still building up.
UNSETTLED = 0.15
# Standard error wanted before the first probe, and the rounds after which it goes without.
CALIBRATED, CALIBRATE_ROUNDS = 0.12, 6
# A change of latency that counts, as a logarithm, and in standard errors.
CHANGE, CHANGE_ERRORS = 0.25, 2.5
# A block that is slower by this ratio is measured twice: it may have been a passing stall.
STALL = 1.6
# Standard error wanted at rest, and the responses after which a block ends without.
PRECISE, REST_ROUNDS, REST_MORE = 0.06, 12, 64
# A probe at fewer: share of the limit (one half up to PROBE_SMALL), standard error wanted, most responses.
PROBE_SHARE, PROBE_SMALL = 0.67, 12
PROBE_NOISE, PROBE_MAX = 0.12, 128
# A probe at more: multiple of the limit, standard error wanted, most responses.
MORE, MORE_NOISE, MORE_MAX = 1.5, 0.08, 96
# Probability of a knee above the limit at which more pays.
PAYS = 0.6
# Other clients may be at the server if latency is above this multiple of the base, and by so many standard errors.
OTHERS, OTHERS_ERRORS = 1.3, 1.5
# Share of the limit at which latency above its base is the server's own.
DEEP = 0.05
# The least share of the limit to drain to in one step.
DRAIN_MIN = 0.2


def judge(search: Search, now: float) -> None:
    """A block is full. It counts only if the application used the limit."""
    search.ceiling.passed(search.value, now)
    if search.block.peak < 0.9 * search.value:
        search.measure_again(now)
        return
    _JUDGES[search.phase](search, *search.block.measured(now), now)


# Start: double until the knee is behind.


def _judge_start(search: Search, mean_s: float, noise: float, now: float) -> None:
    curve, value, enough = search.curve, search.value, search.block.timed
    curve.seen.pop(value, None)
    curve.add(value, mean_s, noise)
    curve.fit()
    if mean_s > 1.4 * curve.free(1):
        curve.seen.pop(value)
        curve.add(value, mean_s, max(noise, UNSETTLED))
        curve.fit()
    behind = curve.below(BEHIND * value)
    least = max(START_AGAIN, value, min(3 * value, START_AGAIN_MAX))
    if behind > 0.5 and enough < least:
        search.block.extend(least)
    elif behind < STOP and value < min(search.maximum, search.ceiling.top(now)):
        search.move(2.0 * value, Cause.doubling, now)
    else:
        search.calibrated = False
        search.timetable.first(now, curve.free(value))
        search.settle(now, Cause.doubling_ended, begin=True)


# Rest: is the latency still the same?


def _judge_rest(search: Search, mean_s: float, noise: float, now: float) -> None:
    block, curve, value = search.block, search.curve, search.value
    if not search.calibrated and value > search.minimum:
        search.reference = (value, mean_s, noise)
        if noise > CALIBRATED and block.seen < CALIBRATE_ROUNDS * value:
            block.extend()
        else:
            probe_fewer(search, now)
        return
    change = math.log(mean_s / curve.at(value))
    if change > math.log(STALL) and not search.surprised:
        search.surprised = True
        search.measure_again(now)
        return
    search.surprised = False
    search.reference = (value, mean_s, noise)
    beyond = CHANGE_ERRORS * math.hypot(noise, 0.05)
    if change > CHANGE + beyond and not search.drained_from:
        _drain(search, mean_s, noise, now)
    elif change < -CHANGE / 2 - beyond and value < search.maximum:
        _on_faster(search, mean_s, noise, now)
    elif noise > PRECISE and block.seen < max(REST_MORE, REST_ROUNDS * value):
        block.extend()
    else:
        curve.add(value, mean_s, noise)
        search.measure_again(now)


def _drain(search: Search, mean_s: float, noise: float, now: float) -> None:
    """Slower: other clients came, the server has less capacity, or the work got longer. Send less and probe soon."""
    curve, value = search.curve, search.value
    left = value * curve.free(value) / mean_s
    base_s = curve.free(1)
    curve.keep_up_to(left)
    curve.add(1, base_s, 0.1)
    curve.add(value, mean_s, noise)
    curve.fit()
    search.drained_from = value
    search.timetable.soon(now, curve.free(value))
    left = value * curve.free(value) / mean_s + search.seek.queue * math.sqrt(value)
    search.move(max(left, DRAIN_MIN * value), Cause.slower, now)


def _on_faster(search: Search, mean_s: float, noise: float, now: float) -> None:
    """Fewer requests wait than the curve says, or service itself is faster."""
    curve, value = search.curve, search.value
    if curve.free(value) > 1.2 * mean_s:
        curve.seen = {}
        curve.add(max(1, value // 2), mean_s, UNSETTLED)
    else:
        curve.keep_up_to(value - 1)
    curve.add(value, mean_s, noise)
    curve.fit()
    if not _probe_more(search, now, Cause.faster):
        search.measure_again(now)


# Probes: first at fewer, then at more.


def probe_if_due(search: Search, now: float) -> bool:
    """Begin the probe that is due, if this block has enough answers to compare it with. True if it begins."""
    if now < search.timetable.at or search.block.seen < REST_MIN / 2:
        return False
    probe_fewer(search, now)
    return True


def probe_fewer(search: Search, now: float) -> None:
    """Begin a probe at fewer in flight; at the minimum, one at more."""
    if search.value == search.minimum:
        search.reference = (search.value, *search.block.measured(now))
        search.news = False
        if not _probe_more(search, now, Cause.probe_more):
            search.timetable.later(now, search.curve.free(1))
        return
    mean_s, noise = search.block.measured(now)
    if search.reference[0] != search.value or search.reference[2] > noise:
        search.reference = (search.value, mean_s, noise)
    search.phase = "fewer"
    search.probing_since = now
    share = PROBE_SHARE if search.value > PROBE_SMALL else 0.5
    search.move(int(share * search.value), Cause.probe_fewer, now, probe=True)


def _judge_fewer(search: Search, mean_s: float, noise: float, now: float) -> None:
    block, curve, value = search.block, search.curve, search.value
    rest, rest_s, rest_noise = search.reference
    change = math.log(mean_s / curve.at(value))
    known = search.calibrated and abs(change) < noise
    clear = _is_clear(rest_s / mean_s, rest / value, noise, rest_noise)
    if not clear and noise > PROBE_NOISE and not known and block.seen < PROBE_MAX:
        block.extend()
        return
    search.timetable.took_s = now - search.probing_since
    curve.age()
    changed = abs(change) > 0.15 + 2 * math.hypot(noise, 0.08)
    if changed:
        curve.seen = {}
    curve.add(rest, rest_s, rest_noise)
    curve.add(value, mean_s, noise)
    curve.fit()
    if _others_add_latency(search, mean_s, noise):
        search.reference = (value, mean_s, noise)
        search.move(value // 2, Cause.probe_others, now, probe=True)
    elif curve.below(1.05 * value) > 0.7 and value > search.minimum:
        search.reference = (value, mean_s, noise)
        search.wanted = float(value)
        search.move(value // 2, Cause.fewer_suffice, now, probe=True)
    else:
        _end_fewer(search, rest, changed, now)


def _is_clear(latencies: float, limits: float, noise: float, other_noise: float) -> bool:
    """Whether two measurements show beyond noise that most of the latency between two limits is queueing, or is not.

    Both are given as ratios. Queueing alone makes latency grow as the limit does.
    """
    ratio = math.log(limits)
    return abs(math.log(latencies) / ratio - 0.5) >= 1.6 * math.hypot(noise, other_noise) / ratio


def _others_add_latency(search: Search, mean_s: float, noise: float) -> bool:
    """Whether latency is above its base, and not at so few in flight that it must be the server's own."""
    curve = search.curve
    above = mean_s > OTHERS * search.base_s * math.exp(OTHERS_ERRORS * noise)
    if above and search.value > max(search.minimum, DEEP * max(search.wanted, search.drained_from)):
        return True
    search.base_s = curve.free(1) if above else min(1.05 * search.base_s, curve.free(1))
    return False


def _end_fewer(search: Search, rest: int, changed: bool, now: float) -> None:
    """The probe at fewer is over: settle, or go on with one at more."""
    curve = search.curve
    search.calibrated = True
    search.drained_from = 0
    search.news = changed or curve.below(rest / 1.15) > STOP
    if curve.below(rest / 1.15) > 0.7:
        search.settle(now, Cause.fewer_suffice, most=rest)
    elif curve.below(rest / MORE) > 0.8 or not _probe_more(search, now, Cause.probe_more):
        search.settle(now, Cause.probe_ended)
    if search.phase == "rest":
        search.schedule_probe(now)


def _probe_more(search: Search, now: float, cause: Cause) -> bool:
    """Begin a probe at more in flight than the reference, if that is allowed."""
    rest = search.reference[0]
    if rest >= search.maximum or search.ceiling.holds(now):
        return False
    search.phase = "more"
    search.move(max(rest + 1.0, min(MORE * rest, search.ceiling.at - 1)), cause, now)
    return True


def _judge_more(search: Search, mean_s: float, noise: float, now: float) -> None:
    block, curve, value = search.block, search.curve, search.value
    rest, rest_s, rest_noise = search.reference
    if value > rest:
        clear = _is_clear(mean_s / rest_s, value / rest, noise, rest_noise)
        if not clear and noise > MORE_NOISE and block.seen < max(MORE_MAX, value):
            block.extend()
            return
        curve.add(value, mean_s, noise)
        curve.fit()
        search.reference = (value, mean_s, noise)
        pays = 1 - curve.below(1.1 * value) > PAYS and mean_s < 1.3 * search.latency_alone_s(value)
        if pays and value < search.maximum:
            search.move(max(value + 1.0, MORE * value), Cause.more_pays, now)
            return
    before = search.wanted
    search.settle(now, Cause.more_ended)
    search.news = search.news or search.wanted > 1.2 * before
    search.schedule_probe(now)


_JUDGES: dict[Phase, Callable[[Search, float, float, float], None]] = {
    "start": _judge_start,
    "rest": _judge_rest,
    "fewer": _judge_fewer,
    "more": _judge_more,
}

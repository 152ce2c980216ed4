"""The start of `knee`: double the limit until attempts wait."""

from __future__ import annotations

import math

from harness.client.cause import Cause
from harness.client.limits.knee import draining
from harness.client.limits.knee.draining import SETTLED
from harness.client.limits.knee.search import Search
from harness.client.types import Sample

# The limit after the start is at least this share of the last.
START_MIN = 0.5


def learn(search: Search, sample: Sample) -> bool:
    """Learn from a success. True if the limit may have changed."""
    drain = search.drain
    if drain is not None:
        drain.add(sample)
        if sample.done >= drain.known_at:
            draining.learn_in_start(search, drain)
    if _drains(search, sample.done):
        return True
    return _learn_block(search, sample)


def _drains(search: Search, now: float) -> bool:
    """Drain when all clients of the machine do: latencies may hold their queue. True if the limit changed."""
    fastest, timetable = search.begin.fastest, search.timetable
    if fastest is None or search.value <= search.begin.drained:
        return False
    if timetable.at == math.inf:
        timetable.plan(now, fastest.wide_s, 0.0, soon=False)
    if now < timetable.at:
        return False
    timetable.plan(now, search.service_s, search.latency_s, soon=False)
    search.begin.drained = search.value
    return draining.begin(search, now)


def _learn_block(search: Search, sample: Sample) -> bool:
    begin, value, now = search.begin, search.value, sample.done
    block = begin.block
    if block is None or block.value != value:
        block = begin.begin(value)
    if not block.add(sample, sample.generation == search.changes):
        if block.unanswered:
            return _end_unanswered(search, block.grown, now)
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
    knee = min(value * max(0.0, 1.0 - waiting), begin.best)
    wanted = max(knee + search.seek.queue(knee), START_MIN * min(value, begin.best)) if waiting else float(value)
    search.rest(now)
    search.grow_to = wanted
    search.move(wanted, Cause.doubling_ended, now, settled=SETTLED)
    if waiting and begin.blocks == 2:
        search.timetable.at = now + search.latency_s
    return True


def _end_unanswered(search: Search, count: int, now: float) -> bool:
    """End the start, as its last `count` attempts are never answered. True: the limit may have changed.

    The limit stays, because what is not answered holds its slots until it is timed out; then the limit falls.
    """
    search.unanswered.noticed(count, now)
    search.rest(now)
    search.move(float(search.value), Cause.doubling_ended, now)
    return True

"""A limit that begins with what an earlier run learnt, and drops it when the evidence contradicts it; pure.

Rules of this file
  1. The limit inside begins its search with the number that was learnt, so old samples never mix with new
     ones.
  2. The first answers judge what was learnt: after refusals, or latencies far above those learnt, a new limit begins.
  3. A learnt pace is kept at first, and raised by the factor `GROWTH` a second. Refusals close to each other confirm
     it: it begins once more, and is raised by `GROWTH_CONFIRMED`. A server that limits its rate refuses several as
     soon as the pace is too high; single refusals come at any pace. While it is kept, refusals are its affair (no 2).
  4. It ends when the limit's own is lower, or once it is `GROWN` times as high. The rate is limited no more then, and a
     new limit begins: the one inside had seen the answers of the pace, which no number in flight makes more.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from statistics import median, quantiles
from typing import Annotated

import msgspec
from msgspec import Meta

from harness.client.cause import Cause
from harness.client.protocols import BoundedLimit, ExplainedLimit, PacedLimit, QueueLimit, SizedLimit
from harness.client.types import Limit, Outcome, Sample, Signal

# So many answers judge first, then twice as many each time, up to the number that was learnt.
JUDGES_MIN = 16
REFUSED_MAX = 1
SLOWER_MAX = 2.0
GROWTH, GROWTH_CONFIRMED, GROWN = 1.5, 1.05, 3.0
# Two refusals confirm a pace if fewer attempts than these end from one to the other, both included.
CLOSE = 20
# The last answers, whose medians are saved; fewer than the least say too little.
LAST, LAST_MIN = 128, 32
# Answers of a block, and blocks: the fastest tenth of their medians is the service time.
BLOCK, BLOCKS = 16, 256

Figure = Annotated[float, Meta(gt=0.0, le=1e6)]


class Learnt(msgspec.Struct, frozen=True):
    """The findings of a limit about a server at the end of a run.

    Attributes:
        value: Attempts in flight where it rested.
        latency_s: Median latency there.
        service_s: Latency without a queue, as far as it was seen.
        pace_per_s: Attempts per second, if it paced them. Default None.
    """

    value: Annotated[int, Meta(ge=1, le=1_000_000)]
    latency_s: Figure
    service_s: Figure
    pace_per_s: Figure | None = None


class CarriedLimit:
    """Wraps the limit that learns.

    Args:
        new_limit: Builds it, beginning with a number or as usual.
        known: What an earlier run learnt; None if there was none.
    """

    def __init__(self, new_limit: Callable[[int | None], Limit], known: Learnt | None) -> None:
        self._new_limit = new_limit
        self._known = known
        self._pace_per_s = known.pace_per_s or math.inf if known is not None else math.inf
        self._begun, self._growth = math.nan, GROWTH
        # Attempts that ended at the learnt pace, and which of them was the last refusal; it counts once.
        self._ended, self._refusal = 0, -math.inf
        self._judging: list[float] | None = [] if known is not None else None
        self._judged_at = JUDGES_MIN
        self._refused = 0
        self._last: deque[tuple[int, float]] = deque(maxlen=LAST)
        self._block: list[float] = []
        self._medians: deque[float] = deque(maxlen=BLOCKS)
        # The limit inside was replaced, when the value had changed so often.
        self.is_forgotten = False
        self._changes = self._offset = 0
        self._cause = ""
        self._wrap(new_limit(None if known is None else known.value))

    def _wrap(self, limit: Limit) -> None:
        self._limit = limit
        self._paced = limit if isinstance(limit, PacedLimit) else None
        self._explained = limit if isinstance(limit, ExplainedLimit) else None
        self.uses_work = isinstance(limit, SizedLimit) and bool(limit.uses_work)
        self.uses_queue = isinstance(limit, QueueLimit) and bool(limit.uses_queue)
        self.maximum: float = limit.maximum if isinstance(limit, BoundedLimit) else math.inf

    @property
    def value(self) -> int:
        """Attempts allowed in flight, now."""
        return self._limit.value

    @property
    def rate_per_s(self) -> float:
        """The pace of the limit, or the learnt one."""
        own = math.inf if self._paced is None else self._paced.rate_per_s
        return min(own, self._pace_per_s)

    @property
    def cause(self) -> str:
        """Why it last changed."""
        return self._cause or ("" if self._explained is None else self._explained.cause)

    @property
    def is_known(self) -> bool:
        """Whether it began with what an earlier run learnt."""
        return self._known is not None

    def update(self, sample: Sample, /) -> None:
        """Learn from one attempt."""
        before = self._limit.value
        if self._offset:
            # A new limit counts its changes from 0.
            sample = msgspec.structs.replace(sample, generation=sample.generation - self._offset)
        self._limit.update(sample)
        if self._limit.value != before:
            self._changes += 1
            self._cause = ""
        if sample.outcome is Outcome.ok:
            self._remember(sample)
        if self._judging is not None or self._pace_per_s != math.inf:
            self._judge(sample)

    def learnt(self) -> Learnt | None:
        """The findings to save; None if too little was seen."""
        if len(self._last) < LAST_MIN or not self._medians:
            return None
        latency_s = median(latency_s for _, latency_s in self._last)
        fastest = quantiles([*self._medians, *self._medians], n=10)[0]
        pace = self.rate_per_s
        value = max(1, round(median(value for value, _ in self._last)))
        if not 0.0 < fastest <= latency_s * SLOWER_MAX or latency_s <= 0.0:
            fastest = latency_s
        if latency_s <= 0.0:
            return None
        # A pace far above the sent rate is no bound.
        paced = pace < GROWN * value / latency_s
        return Learnt(value, latency_s, min(fastest, latency_s), pace if paced else None)

    def _remember(self, sample: Sample) -> None:
        latency_s = sample.latency_s / sample.work
        self._last.append((sample.limit, latency_s))
        self._block.append(latency_s)
        if len(self._block) == BLOCK:
            self._medians.append(median(self._block))
            self._block.clear()

    def _judge(self, sample: Sample) -> None:
        known = self._known
        assert known is not None  # noqa: S101 - only a known number is judged
        if math.isnan(self._begun):
            self._begun = sample.done
        if self._pace_per_s != math.inf and known.pace_per_s is not None:
            self._raise_pace(sample, known.pace_per_s)
            if sample.outcome is Outcome.rejected:
                return
        if self._judging is None:
            return
        if sample.signal is Signal.overload:
            self._refused += 1
            if self._refused > REFUSED_MAX:
                self._forget()
        elif sample.outcome is Outcome.ok:
            self._judging.append(sample.latency_s / sample.work)
            if len(self._judging) >= self._judged_at:
                slower = median(self._judging) > SLOWER_MAX * known.latency_s
                self._judged_at *= 2
                if slower:
                    self._forget()
                elif len(self._judging) >= known.value:
                    self._judging = None

    def _raise_pace(self, sample: Sample, learnt_per_s: float) -> None:
        self._ended += 1
        if sample.outcome is Outcome.rejected:
            if self._ended - self._refusal < CLOSE:
                self._begun, self._growth, self._refusal = sample.done, GROWTH_CONFIRMED, -math.inf
            else:
                self._refusal = self._ended
        grown = self._growth ** max(0.0, sample.done - self._begun)
        if self._paced is not None and self._paced.rate_per_s < self._pace_per_s:
            self._pace_per_s = math.inf
        elif grown > GROWN:
            self._restart(self._limit.value)
        else:
            self._pace_per_s = learnt_per_s * grown

    def _forget(self) -> None:
        """Begin as if nothing had been learnt."""
        self._judging = None
        self._last.clear()
        self._medians.clear()
        self._restart(None)
        self.is_forgotten, self._cause = True, Cause.forgotten

    def _restart(self, initial: int | None) -> None:
        """Begin with a new limit, and without a pace."""
        self._pace_per_s = math.inf
        before = self._limit.value
        self._wrap(self._new_limit(initial))
        self._changes += self._limit.value != before
        self._offset = self._changes

"""The start: double the limit until attempts wait; pure.

Rules of this file
  1. A block is the first attempts that were sent under a limit. It is complete when most of them are back and the last
     had the time to be; those that are not are the longest. So quick answers do not come first.
  2. The delay is that over the last two blocks, or over the fastest: what the last blocks add in the queue of other
     clients would hide in the last two.
  3. A result that is unclear is measured again with more attempts. If that does not help, it goes on: the next block
     shows twice the delay. A start that ends too early costs more than one that goes a step too far.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import deque

from harness.client.limits.knee.quantiles import Quantiles, low_suffice, quantiles
from harness.client.limits.knee.window import LATENCY_MIN_S, USED
from harness.client.types import Sample

# Attempts of a block: the least number; up to so many, as many as the limit.
ATTEMPTS, ATTEMPTS_USUAL = 16, 64
# Share of them that must be back, and the share of the answers that must be quicker than the time since the last sent.
BACK, QUICKER = 0.7, 0.5
# Shares of latency that are waiting: up to the first it goes on, beyond the second it ends.
GO_ON, END = 0.2, 0.28
# Answers after the last of them was sent, in multiples of the block and the limit, after which it begins again.
AFTER_MAX = 3
# It ends only if it is beyond the first by so many standard errors. Else the next block will show it.
SURE = 2.25
# An unclear block is extended by half, up to so many answers or limits.
AGAIN = 1.5
LIMITS_MAX, ANSWERS_SURE, ANSWERS_MAX = 3, 64, 96
# Latency that grows by more than this in one doubling leaves no gain, whether attempts wait or are served more slowly.
NO_GAIN = 1.7
# Share of the highest rate that is nearly as good.
NEARLY = 0.9


class Block:
    """Attempts that were sent under one limit; `burst` of them at once, one more for each that ends."""

    __slots__ = ("_after", "_closed_at", "_latencies_s", "_most", "_sent", "grown", "peak", "value", "wanted")

    def __init__(self, value: int, burst: int, wanted: int, grown: int = 0) -> None:
        self.value, self.wanted = value, wanted
        # By so many above the block before it.
        self.grown = grown
        # Most in flight.
        self.peak = 0
        # The same, of those that were sent later as well.
        self._most = 0
        self._sent = burst
        self._closed_at = math.nan
        # Answers after the last was sent.
        self._after = 0
        # In ascending order.
        self._latencies_s: list[float] = []

    @property
    def used(self) -> bool:
        """Whether the application used the limit."""
        return self.peak >= USED * self.value

    @property
    def failed(self) -> bool:
        """Whether its attempts do not come back: it was full of attempts of another limit, and none was sent."""
        return self._after > AFTER_MAX * (self.wanted + self.value)

    @property
    def unanswered(self) -> bool:
        """Whether that is so after growth that was used: the server answers others, and not the ones on top."""
        return self.failed and self._most >= USED * self.value and self.grown > 0

    @property
    def latency_s(self) -> float:
        """Mean latency of those that are back."""
        return sum(self._latencies_s) / len(self._latencies_s)

    @property
    def quantiles(self) -> Quantiles:
        """Of all that were sent."""
        return quantiles(self._latencies_s, self._sent)

    def add(self, sample: Sample, current: bool) -> bool:
        """Count an answer; `current` if it was sent under this limit. True if the block is complete."""
        if math.isnan(self._closed_at):
            self._sent += 1
            if self._sent >= self.wanted:
                self._closed_at = sample.done
        else:
            self._after += 1
        if current:
            self._most = max(self._most, sample.in_flight)
        if current and not sample.sent > self._closed_at:
            self.peak = max(self.peak, sample.in_flight)
            insort(self._latencies_s, max(LATENCY_MIN_S, sample.latency_s) / sample.work)
        return self._complete(sample.done)

    def _complete(self, now: float) -> bool:
        back = len(self._latencies_s)
        if math.isnan(self._closed_at) or back < BACK * self._sent:
            return False
        return self._latencies_s[math.ceil(QUICKER * back) - 1] <= now - self._closed_at

    def extend(self) -> None:
        """Send more."""
        self.wanted = max(self._sent + 1, int(AGAIN * self._sent))
        self._closed_at, self._after = math.nan, 0


class Start:
    """The blocks so far."""

    def __init__(self) -> None:
        self.block: Block | None = None
        # The block with the least latency.
        self.fastest: Quantiles | None = None
        self._last: deque[Quantiles] = deque(maxlen=2)
        # Limits and rates.
        self._rates: list[tuple[int, float]] = []
        self.blocks = 0
        # The limit of the last drain. Once is enough at each, as the start lasts where an application holds the limit.
        self.drained = 0

    @property
    def best(self) -> float:
        """The lowest limit that gave nearly the highest rate."""
        most = max(rate for _, rate in self._rates)
        return float(min(value for value, rate in self._rates if rate >= NEARLY * most))

    def begin(self, value: int, before: int = 0) -> Block:
        """Begin a block at a limit, after the one `before`, of which all but one are still in flight."""
        burst = value - max(0, before - 1)
        grown = value - before if before else 0
        self.block = Block(value, burst, max(ATTEMPTS, min(value, ATTEMPTS_USUAL)), grown)
        return self.block

    def judge(self, block: Block) -> float | None:
        """The share of latency that is waiting, 0 if there is no queue yet; None: more attempts are needed."""
        value, found = block.value, block.quantiles
        waiting = least = 0.0
        if self.fastest is None:
            self.fastest = found
        else:
            low = low_suffice(self.fastest, value)
            waiting, least = self._waiting(found, self.fastest, low, block.latency_s)
            clear = waiting <= GO_ON or least >= GO_ON
            if not clear and found.count < min(max(LIMITS_MAX * value, ANSWERS_SURE), ANSWERS_MAX):
                block.extend()
                return None
            if found.mean_s(low) < self.fastest.mean_s(low):
                self.fastest = found
        self._last.append(found)
        self._rates.append((value, value / found.wide_s))
        self.blocks += 1
        return waiting if waiting > END and least >= GO_ON else 0.0

    def _waiting(self, found: Quantiles, fastest: Quantiles, low: bool, latency_s: float) -> tuple[float, float]:
        """The share of latency that is waiting: the best estimate, and the least that is likely."""
        count = sum(one.count for one in self._last)
        before_s = sum(one.mean_s(low) * one.count for one in self._last) / count
        before_s = min(before_s, fastest.mean_s(low) + found.error_s(low, fastest.count))
        errors = SURE * math.sqrt(1 + found.count / count)
        waiting_s = found.mean_s(low) - before_s
        shares = waiting_s / latency_s, (waiting_s - errors * found.error_s(low)) / latency_s
        before_s = max(self._last[-1].wide_s, sum(one.wide_s * one.count for one in self._last) / count)
        if found.wide_s <= NO_GAIN * before_s:
            return shares
        faster = before_s / found.wide_s
        # The ratio of two latencies of few answers is skewed; its logarithm is not.
        likely = math.exp(errors * found.error_s(low=False) / found.wide_s)
        return max(shares, (1.0 - faster, 1.0 - faster * likely), key=lambda one: one[1])

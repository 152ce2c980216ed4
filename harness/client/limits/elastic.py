"""A small standing queue over a learnt latency curve: the least in flight that keeps the server busy.

Rules of this file
  1. A block begins when half a round of samples admitted under the present limit has washed out what was before. One
     in which the limit was not used says nothing. Latency is counted, N x duration / answers (Little), not averaged:
     the first answers after a change are the quick ones, and their mean would be too low.
  2. The curve a + b N is the latency that N in flight have while nothing waits. It is learnt from the doubling start
     and from looks at fewer in flight, which become rare as they find nothing new. One that is no quicker is held to
     show that nothing waited, and the limit grows at once. With other clients at the server that can be wrong.
  3. With R the latency of a block and C the curve's at min(N, knee), N C / R are at work and the rest waits. The limit
     becomes that plus a small queue of its own, q = sqrt(N) / 2, which keeps every worker busy.
  4. If latency stays high although the limit fell by a third, the work got longer: the curve is learnt anew.
  5. What the caller did never moves the limit. Refusals and time-outs do, from two and 8 % of the limit on. Other
     server errors do not: they say nothing about how many were in flight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from harness.client.errors import SettingError
from harness.client.settings import between
from harness.client.types import Outcome, Sample

SERVED = frozenset({Outcome.ok, Outcome.server_error})
OVERLOAD = frozenset({Outcome.rejected, Outcome.timed_out})
START_MIN = 16  # samples of a block at the start, in whole rounds
LOOK, LOOK_SMALL = 0.67, 12  # of the limit; half of one up to this
LOOK_MIN = 48
BLOCK_MIN = 96  # samples of a block at rest
LONGER = 1.6  # of the curve: latency that a fallen limit should have lowered
LOOK_FIRST_S, LOOK_BASES, LOOK_MAX_S, LOOK_GROWTH = 2.0, 30, 60.0, 2.0
HOLD_S, HOLD_MAX_S = 1.0, 15.0  # before a limit that was refused is tried again
QUEUE = {"latency": 0.25, "balanced": 0.5, "throughput": 1.5}  # times the root of the limit


@dataclass
class Elastic:
    """The fewest in flight for all the throughput there is: a small queue over a learnt latency curve."""

    initial: int = 4
    minimum: int = 1
    maximum: int = 256
    seek: Literal["latency", "balanced", "throughput"] = "balanced"  # how large the queue may be

    def __post_init__(self) -> None:
        between(self, 1, 1_000_000, "initial", "minimum", "maximum")
        if self.maximum < self.minimum:
            raise SettingError(f"maximum={self.maximum} must be at least minimum={self.minimum}")
        if self.seek not in QUEUE:
            raise SettingError(f"seek={self.seek!r} must be one of {', '.join(QUEUE)}")
        self._value = max(self.minimum, min(self.maximum, self.initial))
        self._wanted = float(self._value)
        self._changes = 0
        self.cause = "start"  # of the last change, for logs and pictures
        self._mode: Literal["start", "rest", "look"] = "start"
        self._learnt: dict[int, tuple[float, float]] = {}  # limit: samples, mean latency; nothing waited there
        self._last = (0, 0.0)  # the level before, in the start: limit, mean latency
        self._doubted = False
        self._knee = math.inf  # beyond it the curve does not rise
        self._look_at, self._look_every_s = math.inf, LOOK_FIRST_S
        self._fell_from: tuple[float, float] | None = None  # limit and latency at which it began to fall
        self._ceiling, self._ceiling_until, self._hold_s = math.inf, 0.0, HOLD_S
        self._seen = self._count = self._refused = self._peak = 0  # of this block
        self._total_s = self._squares = 0.0
        self._since = 0.0
        self._resting = 0.0  # mean latency of late, at rest
        self._cut_at = -math.inf  # by a refusal
        self._free = 0  # blocks in a row in which nothing waited
        self._surprised = False

    @property
    def value(self) -> int:
        """Attempts allowed in flight, now."""
        return self._value

    def update(self, sample: Sample, /) -> None:
        """Learn from one attempt; constant time but for the fit at the end of a block."""
        if sample.outcome in SERVED:
            if sample.generation == self._changes:
                self._peak = max(self._peak, sample.in_flight)
                self._seen += 1
                latency_s = sample.done - sample.sent
                self._total_s += latency_s
                self._squares += latency_s * latency_s
            if self._seen <= self._value // 2:
                self._since = sample.done
                return
            self._count += 1
            if self._count >= self._size():
                duration_s = max(sample.done - self._since, 1e-9)
                self._judge(self._value * duration_s / self._count, sample.done)
        elif sample.outcome in OVERLOAD and sample.generation == self._changes:
            self._refused += 1
            if self._refused >= max(2, 0.08 * self._value) and sample.done > self._cut_at + self._at(self._value):
                self._overload(sample.done)

    def _size(self) -> int:
        if self._mode == "look":
            return self._value * math.ceil(LOOK_MIN / self._value)
        least = START_MIN if self._mode == "start" and not self._doubted else BLOCK_MIN
        rounds = math.ceil(least / self._value)
        return self._value * (max(2, rounds) if self._mode == "rest" else rounds)

    def _judge(self, mean_s: float, now: float) -> None:
        if self._peak < 0.9 * self._value:  # the application had not enough to do
            self._clear()
        elif self._mode == "start":
            self._double(mean_s, now)
        elif self._mode == "look":
            self._looked(mean_s, now)
        else:
            self._rest(mean_s, now)

    def _double(self, mean_s: float, now: float) -> None:
        value, before = self._value, self._last[0]
        before_s = self._at(before)
        gained = math.log((value / mean_s) / (before / before_s)) / math.log(value / before) if before else 1.0
        if gained > 0.4:
            self._learn(value, self._count, mean_s)
            self._last, self._doubted = (value, mean_s), False
            if value < min(self.maximum, self._top(now)):
                self._set(2.0 * value, "doubling pays", now)
                return
        elif not self._doubted:
            self._doubted = True
            self._clear()
            return
        self._mode, self._look_at = "rest", now
        self._knee = max(self._learnt)
        base_s, slope_s = self._curve()
        room = 1 - slope_s * value / mean_s  # a + b N = N / X
        self._knee = min(value, max(self._knee, base_s * value / mean_s / room if room > 0.05 else value))
        self._to_queue(mean_s, now, "doubling no longer pays")

    def _rest(self, mean_s: float, now: float) -> None:
        ratio = mean_s / self._at(self._value)
        if ratio > LONGER and not self._surprised:  # once more before it is believed: it may be a stall
            self._surprised = True
            self._clear()
            return
        self._surprised = False
        self._resting = self._resting * 0.5 + mean_s * 0.5 if self._resting else mean_s
        if self._fell_from is not None:
            limit, latency_s = self._fell_from
            if self._value < 0.67 * limit:
                self._fell_from = None
                if ratio > LONGER and mean_s > 0.8 * latency_s:
                    self._anew(now, "latency did not fall with the limit: the work got longer")
                    return
        if ratio > LONGER and self._fell_from is None:
            self._fell_from = (self._value, mean_s)
        elif ratio < 1.3:
            self._fell_from = None
        if now >= self._look_at and self._value > self.minimum and self._fell_from is None:
            self._mode = "look"
            self._set((LOOK if self._value > LOOK_SMALL else 0.5) * self._value, "look at less", now, keep=True)
            return
        self._to_queue(mean_s, now, "as many as are served, and a small queue")

    def _looked(self, mean_s: float, now: float) -> None:
        expected_s = self._at(self._value)
        new = mean_s < expected_s * (1 - max(0.15, 2.5 * self._noise()))
        if new:
            self._learnt = {}
            self._knee = min(self._knee, self._value)
        if mean_s < expected_s * (1 + max(0.25, 2.5 * self._noise())):
            self._learn(self._value, self._count, mean_s)
        if not new and self._resting < mean_s * (1 + max(0.15, self._noise())) and self._wanted > 1:
            self._learn(max(1, round(self._wanted)), BLOCK_MIN, self._resting)
            self._look_every_s, self._look_at = LOOK_FIRST_S, now + LOOK_BASES * mean_s
            self._resting, self._mode = 0.0, "rest"
            free = self._wanted < self._ceiling - 1 or now < self._ceiling_until
            grown = 1.5 * self._wanted if free else self._wanted + 1
            self._set(grown, "fewer are no quicker: nothing waits", now)
            return
        self._resting = 0.0
        self._look_every_s = LOOK_FIRST_S if new else min(LOOK_MAX_S, LOOK_GROWTH * self._look_every_s)
        self._look_at = now + max(self._look_every_s, LOOK_BASES * mean_s)
        self._mode = "rest"
        self._set(self._wanted if not new else float(self._value), "back from the look", now)

    def _noise(self) -> float:
        """Standard error of the block's mean latency, as a share of it."""
        mean_s = self._total_s / self._seen
        return math.sqrt(max(0.0, self._squares / self._seen - mean_s**2) / self._count) / mean_s

    def _anew(self, now: float, cause: str) -> None:
        self._learnt, self._last, self._doubted = {}, (0, 0.0), False
        self._knee, self._look_every_s, self._mode = math.inf, LOOK_FIRST_S, "start"
        self._set(float(self._value), cause, now)

    def _to_queue(self, mean_s: float, now: float, cause: str) -> None:
        ratio = max(0.85, mean_s / self._at(self._value))
        queue = QUEUE[self.seek] * math.sqrt(self._value)
        self._free = self._free + 1 if ratio < 1 + 0.5 * queue / self._value else 0
        if now < self._ceiling_until or self._wanted >= self._ceiling - 1:
            self._free = min(self._free, 1)
        target = self._wanted / ratio + min(queue * 2 ** (self._free - 1 if self._free else 0), self._value)
        if target > self._knee and ratio < 1.1:
            self._knee = min(target, self.maximum)
        far = abs(target - self._wanted) > 0.25 * self._wanted
        self._set(target if far else 0.5 * (self._wanted + target), cause, now)

    def _overload(self, now: float) -> None:
        if self._mode == "start":
            kept = max(self._last[0], 0.5 * self._value)
            self._mode, self._look_at, self._knee = "rest", now + 10 * LOOK_FIRST_S, float(max(self._learnt, default=1))
        else:
            kept = 0.9 * self._value
        self._mode = "rest"
        self._cut_at = now
        self._ceiling = self._value
        if now > self._ceiling_until:  # tried again, and refused again
            self._hold_s = min(HOLD_MAX_S, 1.7 * self._hold_s)
        self._ceiling_until = now + self._hold_s
        self._set(min(kept, self._value - 1.0), "refused", now)

    def _learn(self, value: int, count: int, mean_s: float) -> None:
        had, had_s = self._learnt.get(value, (0.0, 0.0))
        had = min(had, 500.0)
        self._learnt[value] = (had + count, (had * had_s + count * mean_s) / (had + count))

    def _curve(self) -> tuple[float, float]:
        """a and b >= 0 of the latency a + b N, by least squares."""
        n = sum(count for count, _ in self._learnt.values())
        x = sum(count * value for value, (count, _) in self._learnt.items()) / n
        y = sum(count * mean_s for count, mean_s in self._learnt.values()) / n
        over = sum(count * (value - x) ** 2 for value, (count, _) in self._learnt.items())
        both = sum(count * (value - x) * (mean_s - y) for value, (count, mean_s) in self._learnt.items())
        slope_s = max(0.0, both / over) if over > 0 else 0.0
        if slope_s * (max(self._learnt) - min(self._learnt)) < 0.25 * y:
            slope_s = 0.0  # no more than noise
        return max(y - slope_s * x, 0.2 * y), slope_s

    def _at(self, value: float) -> float:
        if not self._learnt:
            return 1.0
        base_s, slope_s = self._curve()
        return base_s + slope_s * min(value, self._knee)

    def _top(self, now: float) -> float:
        return self._ceiling - 1 if now < self._ceiling_until else math.inf

    def _set(self, wanted: float, cause: str, now: float, keep: bool = False) -> None:
        wanted = max(float(self.minimum), min(float(self.maximum), wanted, self._top(now)))
        if not keep:
            self._wanted = wanted
        value = max(self.minimum, math.floor(wanted + 1e-9))
        if value != self._value:
            self._value = value
            self._changes += 1
            self.cause = cause
        self._clear()

    def _clear(self) -> None:
        self._seen = self._count = self._refused = self._peak = 0
        self._total_s = self._squares = 0.0

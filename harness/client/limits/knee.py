"""Finds the knee: the fewest attempts in flight that give all the throughput there is, and notices when it moves.

Rules of this file
  1. Measurements are blocks at one limit. Only samples admitted under the present limit count, and the first round of
     them only washes out what was before. A block in which the limit was not used says nothing.
  2. With the limit used, in flight = throughput x latency (Little). So the mean latency R of a block at limit N tells
     its throughput N / R, and one curve R(N), pooled over all blocks, is all there is to learn.
  3. Past the knee R grows in proportion to N. The knee is where the line through the levels before it meets N / X,
     with X the best throughput seen.
  4. What the caller did (client_error, cancelled, not_sent, bad_response) never moves the limit. Refusals and time-outs
     do, if there are more than a few: down to what the server accepted. Other server errors do only while nearly
     everything fails.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

from harness.client.errors import SettingError
from harness.client.settings import between
from harness.client.types import Outcome, Sample

OVERLOAD = frozenset({Outcome.rejected, Outcome.timed_out})
MIDWAY, DOUBT = 0.5, 1.5  # between "more gives more" and "more gives nothing"; in standard deviations
CHANGE = 1.3  # of the latency at one and the same limit, beyond noise: the server is another one
SATURATED = 0.97  # of the best throughput
PROBE_UP, PROBE_DOWN = 1.25, 0.8
BLOCK_MIN = 24  # samples of a block at rest
SPACING_MIN_S, SPACING_MAX_S, SPACING_BASES = 0.5, 4.0, 10  # between probes; the first is so many latencies
FEW, SMALL, NOISY = 4, 8, 0.3  # attempts in flight; coefficient of variation
HOLD_MAX_S = 10.0  # before a limit that was refused is tried again
DOWN_EVERY = 3  # probes: one up costs latency, one down throughput
SEEK = {"latency": 0.85, "balanced": 1.03, "throughput": 1.3}  # of the knee, to rest at


class _Level:
    """What is known of one limit: its samples, their latencies' sum and sum of squares."""

    __slots__ = ("count", "squares", "total")

    def __init__(self) -> None:
        self.count = 0.0
        self.total = 0.0
        self.squares = 0.0

    def add(self, count: float, total: float, squares: float) -> None:
        """Pool a block; what is old weighs less and less."""
        keep = 1.0 if self.count < 200 else 0.7
        self.count = keep * self.count + count
        self.total = keep * self.total + total
        self.squares = keep * self.squares + squares

    @property
    def mean_s(self) -> float:
        return self.total / self.count

    def other(self, count: int, mean_s: float, change: float = CHANGE) -> int:
        """1 if a block is slower than what is known, beyond noise, -1 if it is faster, else 0."""
        if self.count < BLOCK_MIN:
            return 0
        noise_s = 3 * math.sqrt(self.variance * (1 / count + 1 / self.count))
        return (mean_s > change * self.mean_s + noise_s) - (mean_s < self.mean_s / change - noise_s)

    def forget(self) -> None:
        """It was another server."""
        self.count = self.total = self.squares = 0.0

    @property
    def error_s(self) -> float:
        """Standard error of the mean."""
        return math.sqrt(self.variance / self.count)

    @property
    def variance(self) -> float:
        return max(0.0, self.squares / self.count - self.mean_s**2)


@dataclass
class Knee:
    """The fewest in flight for all the throughput there is: doubling start, a learnt latency curve, sparse probes."""

    initial: int = 4
    minimum: int = 1
    maximum: int = 200
    seek: Literal["latency", "balanced", "throughput"] = "balanced"  # where to rest: before, at or past the knee

    def __post_init__(self) -> None:
        between(self, 1, 1_000_000, "initial", "minimum", "maximum")
        if self.maximum < self.minimum:
            raise SettingError(f"maximum={self.maximum} must be at least minimum={self.minimum}")
        if self.seek not in SEEK:
            raise SettingError(f"seek={self.seek!r} must be one of {', '.join(SEEK)}")
        self._value = max(self.minimum, min(self.maximum, self.initial))
        self._changes = 0
        self.cause = "start"  # of the last change, for logs and pictures
        self._levels: dict[int, _Level] = {}
        self._mode: Literal["start", "down", "rest", "probe"] = "start"
        self._rest_at = self._value
        self._doubt = 0  # blocks in a row that spoke for a change
        self._ceiling = math.inf  # refusals began here
        self._ceiling_until = 0.0
        self._ceiling_hold_s = 2.0
        self._spacing_s = 0.0
        self._cut_at = -math.inf  # by a refusal
        self._probed_at = 0.0
        self._probes = 0
        self._accepted: deque[tuple[float, float]] = deque(maxlen=80)  # (done, latency) of the last successes
        self._seen = self._count = self._refused = self._peak = 0  # of this block
        self._total = self._squares = 0.0

    @property
    def value(self) -> int:
        """Attempts allowed in flight, now."""
        return self._value

    def update(self, sample: Sample, /) -> None:
        """Learn from one attempt; constant time but for the fit at the end of a block."""
        outcome = sample.outcome
        if outcome is Outcome.ok:
            latency_s = sample.done - sample.sent
            self._accepted.append((sample.done, latency_s))
            if sample.generation != self._changes:
                return
            self._peak = max(self._peak, sample.in_flight)
            self._seen += 1
            if self._seen > (self._value // 2 if self._mode == "start" else self._value):
                self._count += 1
                self._total += latency_s
                self._squares += latency_s * latency_s
                if self._count >= self._size():
                    self._judge(sample.done)
        elif outcome in OVERLOAD and sample.generation == self._changes:
            self._refused += 1
            settled = sample.done > self._cut_at + 2 * self._latency_s()
            if settled and self._refused >= max(2, 0.08 * (self._seen + self._refused)):
                self._overload(sample.done)

    def _size(self) -> int:
        """Samples of a block, after the round that washes out."""
        if self._mode == "start" and not self._doubt:
            return max(8, self._value)
        return max(BLOCK_MIN, 2 * self._value)

    def _judge(self, now: float) -> None:
        """A block is full."""
        if self._peak < 0.9 * self._value:  # the application had not enough to do
            self._clear()
            return
        count, total, squares = self._count, self._total, self._squares
        if self._mode == "rest":
            if self._changed(count, total / count, now):
                return
            self._level().add(count, total, squares)
            self._maybe_probe(now)
            return
        level = self._level()
        if self._mode == "probe" and level.other(count, total / count, 1.0):
            level.forget()
        level.add(count, total, squares)
        if self._mode == "start":
            self._doubled(now)
        elif self._mode == "down":
            self._halved(now)
        else:
            self._probed(now)

    def _level(self) -> _Level:
        return self._levels.setdefault(self._value, _Level())

    def _throughput(self, value: int) -> float:
        return value / self._levels[value].mean_s

    # Start: double while that pays, then go to the knee.

    def _doubled(self, now: float) -> None:
        before = max((value for value in self._levels if value < self._value), default=None)
        grown = before is None or self._rises(before, self._value)
        if grown and self._value < min(self.maximum, self._top(now)):
            self._doubt = 0
            self._set(self._more(), "doubling pays", now)
        elif not grown and not self._doubt:
            self._doubt = 1  # once more at this level before it is believed
            self._clear()
        elif not grown and before == min(self._levels) and before > self.minimum:
            self._mode = "down"
            self._set(before // 2, "is the knee below the start?", now)
        else:
            self._rest(now, "doubling no longer pays" if not grown else "the most that is allowed")

    def _halved(self, now: float) -> None:
        above = min(value for value in self._levels if value > self._value)
        if self._rises(self._value, above, 0.0) or self._value == self.minimum:
            self._rest(now, "less gives less")
        else:
            self._set(self._value // 2, "half gives as much", now)

    def _rises(self, low: int, high: int, doubt: float = DOUBT) -> bool:
        """Whether throughput rises with the limit, from one level to a higher one; in doubt it does.

        Were the higher one free, both had the same latency; were both past the knee, it grew in proportion. Midway (in
        logarithms) lies the question, and noise shifts it.
        """
        one, two = self._levels[low], self._levels[high]
        noise = math.hypot(one.error_s / one.mean_s, two.error_s / two.mean_s)
        return math.log(two.mean_s / one.mean_s) < MIDWAY * math.log(high / low) + doubt * noise

    def _rest(self, now: float, cause: str) -> None:
        self._mode = "rest"
        self._doubt = 0
        self._spacing_s = self._spacing_min()
        self._probed_at = now
        self._rest_at = self._clamp(math.ceil(SEEK[self.seek] * self._knee() - 1e-9), now)
        self._set(self._rest_at, cause, now)

    def _base_s(self) -> float:
        return min(level.mean_s for level in self._levels.values())

    def _best(self) -> float:
        """The best throughput there is for sure: of each level what its noise leaves."""
        return max(value / (level.mean_s + level.error_s) for value, level in self._levels.items())

    def _free(self) -> list[int]:
        """The levels at which more gives more, ascending."""
        best = self._best()
        top = max(self._levels, key=self._throughput)
        return sorted(
            value
            for value, level in self._levels.items()
            if value <= top and value < SATURATED * best * (level.mean_s - level.error_s)
        )

    def _knee(self) -> float:
        """Where the line through the two highest free levels meets N / X."""
        best, free = self._best(), self._free()
        if not free:
            return float(min(self._levels))
        high = self._levels[free[-1]].mean_s
        slope = 0.0
        if len(free) > 1:
            slope = max(0.0, (high - self._levels[free[-2]].mean_s) / (free[-1] - free[-2]))
        start_s = high - slope * free[-1]
        top = max(self._levels, key=self._throughput)
        knee = start_s / (1 / best - slope) if 1 / best > slope else math.inf
        return max(float(free[-1]), min(knee, float(top)))

    # Rest: is it still the same server, and is the knee still here?

    def _changed(self, count: int, mean_s: float, now: float) -> bool:
        known = self._levels.get(self._value)
        other = known.other(count, mean_s) if known is not None else 0
        if not other:
            self._doubt = 0
            return False
        self._doubt += 1
        if self._doubt < 2:
            self._clear()
            return True
        base_s = self._base_s()
        self._levels.clear()
        self._mode, self._doubt = "start", 0
        drained = max(2, round(self._value / mean_s * base_s)) if other > 0 else self._value
        self._set(drained, "slower: drain and learn anew" if other > 0 else "faster: learn anew", now)
        return True

    def _maybe_probe(self, now: float) -> None:
        if now - self._probed_at < self._spacing_s:
            self._clear()
            return
        self._probed_at = now
        self._rest_at = self._value
        self._probes += 1
        target = self._clamp(math.ceil((2 if self._value <= FEW else PROBE_UP) * self._value), now)
        if self._probes % DOWN_EVERY == 0:
            noisy = self._level().variance > NOISY**2 * self._level().mean_s ** 2
            share = 0.5 if noisy and self._value <= SMALL else PROBE_DOWN  # a small step could not be told from noise
            target = min(self._value - 1, math.floor(share * self._value))
            if not self._free():  # even the lowest level is past the knee: look far below
                target = min(self._levels) // 2
        if target < self.minimum or target == self._value:
            self._clear()
            return
        self._mode = "probe"
        self._set(target, "probe up" if target > self._rest_at else "probe down", now)

    def _probed(self, now: float) -> None:
        here, rest = self._value, self._rest_at
        if here > rest and self._rises(rest, here, -DOUBT if rest <= FEW else 0.0):
            self._mode, self._doubt = "start", 0
            self._levels = {value: level for value, level in self._levels.items() if value <= here}
            self._spacing_s = self._spacing_min()
            self._set(self._clamp(self._more(), now), "more gives more", now)
            return
        self._mode = "rest"
        self._rest_at = rest
        if here < rest and not self._rises(here, rest, 0.0):  # few are soon told apart, many only by the whole curve
            knee = self._clamp(math.ceil(SEEK[self.seek] * self._knee() - 1e-9), now)
            self._rest_at = here if rest <= SMALL else max(here, min(knee, rest))
        moved = self._rest_at != rest
        if moved:
            self._probes = -1  # the next one is down again
        self._spacing_s = self._spacing_min() if moved else min(SPACING_MAX_S, 1.3 * self._spacing_s)
        self._set(self._rest_at, "less gives as much" if moved else "the knee is still here", now)

    def _spacing_min(self) -> float:
        return max(SPACING_MIN_S, SPACING_BASES * self._base_s())

    # Refusals.

    def _overload(self, now: float) -> None:
        ok = len(self._accepted)
        span_s = now - self._accepted[0][0] if ok else 0.0
        accepted = math.ceil(sum(latency for _, latency in self._accepted) / span_s) if span_s > 0 else self._value // 2
        if self._mode == "start":
            accepted = max(accepted, max((value for value in self._levels if value < self._value), default=1))
        self._ceiling = self._value
        if now < self._ceiling_until:
            self._ceiling_hold_s = min(HOLD_MAX_S, 1.7 * self._ceiling_hold_s)
        self._ceiling_until = now + self._ceiling_hold_s
        again = now < self._cut_at + 10 * self._latency_s()  # the last step was nearly enough
        value = max(self.minimum, self._value - 1 if again else min(accepted, math.floor(0.9 * self._value)))
        self._cut_at = now
        self._mode, self._doubt = "rest", 0
        self._rest_at = value
        self._probed_at = now
        self._spacing_s = max(self._spacing_s, SPACING_MIN_S)
        self._set(value, "refused: what was accepted", now)

    def _latency_s(self) -> float:
        """Of the last success; 0 before the first."""
        return self._accepted[-1][1] if self._accepted else 0.0

    def _more(self) -> int:
        """Twice as much; once something was refused, halfway there."""
        return (
            2 * self._value
            if self._ceiling == math.inf
            else max(self._value + 1, int(self._value + self._ceiling) // 2)
        )

    def _top(self, now: float) -> float:
        return self._ceiling - 1 if now < self._ceiling_until else math.inf

    def _clamp(self, value: int, now: float) -> int:
        return int(max(self.minimum, min(self.maximum, value, self._top(now))))

    def _set(self, value: int, cause: str, now: float) -> None:
        value = max(self.minimum, min(self.maximum, value))
        if value != self._value:
            self._value = value
            self._changes += 1
            self.cause = cause
        self._clear()

    def _clear(self) -> None:
        self._seen = self._count = self._refused = self._peak = 0
        self._total = self._squares = 0.0

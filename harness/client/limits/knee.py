"""Finds the knee: the fewest attempts in flight that give all the throughput there is, and notices when it moves.

Rules of this file
  1. Measurements are blocks at one limit; a block in which the limit was not used says nothing. What is known is a
     curve (`_curve`): how probable every knee is, given all that was measured and how noisy it was.
  2. It starts by doubling until the knee is probably behind it, then rests at the knee and a small queue of sqrt(K) / 2
     (a standing queue keeps every worker busy, and is what several clients at one server share fairly by).
  3. Now and then it looks at less and then at more, and rests where the curve then says. Looks come at round times of a
     clock that all clients of a machine share: what one alone cannot see, that all are too many, they see together.
  4. At rest it only moves if latency is another one beyond noise: slower, it drains to what the curve leaves and looks;
     faster, it tries more.
  5. What the caller did (client_error, cancelled, not_sent, bad_response) never moves the limit. Refusals and time-outs
     do, if there are more than a few (`_ceiling`); a server that limits a rate is paced. Errors of the server only cost
     throughput: they move the limit if there are more of them with more in flight.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from harness.client.cause import Cause
from harness.client.errors import SettingError
from harness.client.limits._block import Block
from harness.client.limits._ceiling import OVERLOAD, Accepted, Ceiling
from harness.client.limits._curve import Curve
from harness.client.limits._timetable import Timetable
from harness.client.settings import between
from harness.client.types import Outcome, Sample, Signal

SEEK = {"latency": (0.2, 0.4, 0.5, 0.25), "balanced": (0.3, 0.6, 0.7, 0.5), "throughput": (0.5, 0.8, 0.9, 1.0)}
"""Knees between which to stay and the one to begin at, as probabilities; the standing queue in roots of the knee."""
START_MIN, LOOK_MIN, REST_MIN = 8, 24, 32  # samples of a block
START_AGAIN, START_AGAIN_MAX = 24, 96  # before the end of the start is believed
STOP = 0.85  # probability at which the knee is behind
PASSED = 0.75  # of the limit: a knee below that is behind
UNSETTLED = 0.15  # error of what was measured while a queue was still building up
CALIBRATED, CALIBRATE_ROUNDS = 0.12, 6  # before the first look
CHANGE, SURE = 0.25, 2.5  # of latency, in logarithms; and in standard errors
STALL = 1.6  # that much slower is looked at twice: it may have been a moment
PRECISE, REST_ROUNDS, REST_MORE = 0.06, 12, 64
LOOK, LOOK_SMALL = 0.67, 12  # of the limit; half of one up to this
LOOK_NOISE, LOOK_MAX = 0.12, 128
MORE, MORE_MAX = 1.5, 96
PAYS = 0.6  # probability of a knee above it
OTHERS, MARGIN = 1.3, 1.5  # times the least base of late, and standard errors: somebody else may be at the server
DEEP = 0.05  # of the limit: what is not quicker even so is the server's own
UNSURE = 1.7  # times as far as it may be, it is soon looked for again
DRAIN_MIN = 0.2  # of the limit, in one step
PACE = 1.5  # once something was refused: of what should be accepted, so that no burst goes out


@dataclass
class Knee:
    """The fewest in flight for all the throughput there is: doubling start, a learnt latency curve, sparse looks."""

    initial: int = 4
    minimum: int = 1
    maximum: int = 256
    seek: Literal["latency", "balanced", "throughput"] = "balanced"  # where to rest: before, at or past the knee
    uses_work: ClassVar[bool] = True

    def __post_init__(self) -> None:
        between(self, 1, 1_000_000, "initial", "minimum", "maximum")
        if self.maximum < self.minimum:
            raise SettingError(f"maximum={self.maximum} must be at least minimum={self.minimum}")
        if self.seek not in SEEK:
            raise SettingError(f"seek={self.seek!r} must be one of {', '.join(SEEK)}")
        self._value = max(self.minimum, min(self.maximum, self.initial))
        self._wanted = float(self._value)  # where it rests; a look goes elsewhere for a while
        self._changes = 0
        self.cause = Cause.start  # of the last change
        self.rate_per_s = math.inf
        self._curve = Curve()
        self._ceiling = Ceiling()
        self._accepted: Accepted | None = None  # while it is a rate that is limited
        self._bound = 0  # answers in a row at which the number was used, and not the rate
        self._done: deque[float] = deque(maxlen=80)  # the last successes
        self._mode: Literal["start", "rest", "look", "more"] = "start"
        self._judges: dict[str, Callable[[float, float, float], None]] = {
            "start": self._started,
            "rest": self._rested,
            "look": self._looked,
            "more": self._tried,
        }
        self._base_s = math.inf
        self._calibrated = False
        self._surprised = False
        self._drained = 0  # from where, since the last look
        self._rest = (0, 0.0, 1.0)  # before a look: limit, latency, its error
        self._timetable = Timetable()
        self._looking_since = 0.0
        self._news = False  # the look brought some
        self._block = Block.at_once(self._value, START_MIN, math.nan, 0)

    @property
    def value(self) -> int:
        """Attempts allowed in flight, now."""
        return self._value

    def update(self, sample: Sample, /) -> None:
        """Learn from one attempt; constant time but for the fit after a look."""
        current = sample.generation == self._changes
        if sample.outcome is Outcome.ok:
            self._done.append(sample.done)
        elif sample.signal is Signal.ignored:
            if self._accepted is None and sample.latency_s >= 0.0:  # false for NaN
                self._block.add(sample, current)  # takes the time that it held a slot out of the measurement
            return
        if self._accepted is not None:
            self._pace(self._accepted, sample)
        elif sample.outcome in OVERLOAD:
            self._block.add(sample, False)
            if current and self._ceiling.refused(sample, self._value, self._curve.free(self._value)):
                self._overload(sample.done)
        elif self._block.add(sample, current):
            self._judge(sample.done)
        elif sample.done >= self._timetable.at and self._mode == "rest" and self._block.seen >= REST_MIN / 2:
            self._look(sample.done)

    def _judge(self, now: float) -> None:
        """A block is full."""
        self._ceiling.passed(self._value, now)
        if self._block.peak < 0.9 * self._value:  # the application had not enough to do
            self._again(now)
            return
        self._judges[self._mode](*self._block.measured(now), now)

    # Start: double until the knee is behind.

    def _started(self, mean_s: float, noise: float, now: float) -> None:
        curve, value, enough = self._curve, self._value, self._block.timed
        curve.seen.pop(value, None)
        curve.add(value, mean_s, noise)
        curve.fit()
        if mean_s > 1.4 * curve.free(1):
            curve.seen.pop(value)
            curve.add(value, mean_s, max(noise, UNSETTLED))
            curve.fit()
        behind = curve.below(PASSED * value)
        least = max(START_AGAIN, value, min(3 * value, START_AGAIN_MAX))
        if behind > 0.5 and enough < least:
            self._block.go_on(least)
        elif behind < STOP and value < min(self.maximum, self._ceiling.top(now)):
            self._set(2.0 * value, Cause.doubling, now)
        else:
            self._calibrated = False
            self._timetable.first(now, curve.free(value))
            self._aim(now, Cause.doubling_ended, anew=True)

    # Rest: is it still the same server?

    def _rested(self, mean_s: float, noise: float, now: float) -> None:
        block, curve, value = self._block, self._curve, self._value
        if not self._calibrated and value > self.minimum:
            self._rest = (value, mean_s, noise)
            if noise > CALIBRATED and block.seen < CALIBRATE_ROUNDS * value:
                block.go_on()
            else:
                self._look(now)
            return
        change = math.log(mean_s / curve.at(value))
        if change > math.log(STALL) and not self._surprised:
            self._surprised = True
            self._again(now)
            return
        self._surprised = False
        self._rest = (value, mean_s, noise)
        beyond = SURE * math.hypot(noise, 0.05)
        if change > CHANGE + beyond and not self._drained:
            self._drain(mean_s, noise, now)
        elif change < -CHANGE / 2 - beyond and value < self.maximum:
            self._quicker(mean_s, noise, now)
        elif noise > PRECISE and block.seen < max(REST_MORE, REST_ROUNDS * value):
            block.go_on()
        else:
            curve.add(value, mean_s, noise)
            self._again(now)

    def _drain(self, mean_s: float, noise: float, now: float) -> None:
        """Slower: others came, it has less to give, or the work got longer. Less, and then a look tells."""
        curve, value = self._curve, self._value
        left = value * curve.free(value) / mean_s
        base_s = curve.free(1)
        curve.only(left)
        curve.add(1, base_s, 0.1)
        curve.add(value, mean_s, noise)
        curve.fit()
        self._drained = value
        self._timetable.soon(now, curve.free(value))
        left = value * curve.free(value) / mean_s + self._queue(value)
        self._set(max(left, DRAIN_MIN * value), Cause.slower, now)

    def _quicker(self, mean_s: float, noise: float, now: float) -> None:
        """Less waits than was thought, or service itself is quicker."""
        curve, value = self._curve, self._value
        if curve.free(value) > 1.2 * mean_s:
            curve.seen = {}
            curve.add(max(1, value // 2), mean_s, UNSETTLED)
        else:
            curve.only(value - 1)
        curve.add(value, mean_s, noise)
        curve.fit()
        if not self._more(now, Cause.faster):
            self._again(now)

    # Look at less, then at more.

    def _look(self, now: float) -> None:
        if self._value == self.minimum:
            self._rest = (self._value, *self._block.measured(now))
            self._news = False
            if not self._more(now, Cause.probe_more):
                self._timetable.later(now, self._curve.free(1))
            return
        mean_s, noise = self._block.measured(now)
        if self._rest[0] != self._value or self._rest[2] > noise:
            self._rest = (self._value, mean_s, noise)
        self._mode = "look"
        self._looking_since = now
        share = LOOK if self._value > LOOK_SMALL else 0.5
        self._set(int(share * self._value), Cause.probe_fewer, now, keep=True)

    def _looked(self, mean_s: float, noise: float, now: float) -> None:
        block, curve, value = self._block, self._curve, self._value
        rest, rest_s, rest_noise = self._rest
        ratio = math.log(rest / value)
        queued = math.log(rest_s / mean_s) / ratio  # 1: all of the difference waited, 0: none of it
        change = math.log(mean_s / curve.at(value))
        told = abs(queued - 0.5) >= 1.6 * math.hypot(noise, rest_noise) / ratio
        if not told and noise > LOOK_NOISE and not (self._calibrated and abs(change) < noise) and block.seen < LOOK_MAX:
            block.go_on()
            return
        self._timetable.took_s = now - self._looking_since
        curve.age()
        another = abs(change) > 0.15 + 2 * math.hypot(noise, 0.08)
        if another:
            curve.seen = {}
        curve.add(rest, rest_s, rest_noise)
        curve.add(value, mean_s, noise)
        curve.fit()
        dearer = mean_s > OTHERS * self._base_s * math.exp(MARGIN * noise)
        others = dearer and value > max(self.minimum, DEEP * max(self._wanted, self._drained))
        if not others:
            self._base_s = curve.free(1) if dearer else min(1.05 * self._base_s, curve.free(1))
        if others:
            self._rest = (value, mean_s, noise)
            self._set(value // 2, Cause.probe_others, now, keep=True)
            return
        if curve.below(1.05 * value) > 0.7 and value > self.minimum:
            self._rest = (value, mean_s, noise)
            self._wanted = float(value)
            self._set(value // 2, Cause.fewer_suffice, now, keep=True)
            return
        self._calibrated = True
        self._drained = 0
        self._news = another or curve.below(rest / 1.15) > STOP
        if curve.below(rest / 1.15) > 0.7:
            self._aim(now, Cause.fewer_suffice, most=rest)
        elif curve.below(rest / MORE) > 0.8 or not self._more(now, Cause.probe_more):
            self._aim(now, Cause.probe_ended)
        if self._mode == "rest":
            self._plan(now)

    def _more(self, now: float, cause: Cause) -> bool:
        """Try more than where it rested, if that is allowed."""
        rest = self._rest[0]
        if rest >= self.maximum or self._ceiling.holds(now):
            return False
        self._mode = "more"
        self._set(max(rest + 1.0, min(MORE * rest, self._ceiling.at - 1)), cause, now)
        return True

    def _tried(self, mean_s: float, noise: float, now: float) -> None:
        block, curve, value = self._block, self._curve, self._value
        rest, rest_s, rest_noise = self._rest
        if value > rest:
            ratio = math.log(value / rest)
            told = abs(math.log(mean_s / rest_s) / ratio - 0.5) >= 1.6 * math.hypot(noise, rest_noise) / ratio
            if not told and noise > 0.08 and block.seen < max(MORE_MAX, value):
                block.go_on()
                return
            curve.add(value, mean_s, noise)
            curve.fit()
            self._rest = (value, mean_s, noise)
            pays = 1 - curve.below(1.1 * value) > PAYS and mean_s < 1.3 * self._alone(value)
            if pays and value < self.maximum:
                self._set(max(value + 1.0, MORE * value), Cause.more_pays, now)
                return
        before = self._wanted
        self._aim(now, Cause.more_ended)
        self._news = self._news or self._wanted > 1.2 * before
        self._plan(now)

    # Where to rest, and when to look again.

    def _aim(self, now: float, cause: Cause, anew: bool = False, most: float = math.inf) -> None:
        """Rest: where it was, unless what is known says otherwise."""
        knees = (self._curve.quantile(share) for share in SEEK[self.seek][:3])
        least, begin, top = (knee + self._queue(knee) for knee in knees)
        wanted = begin if anew else max(least, min(top, self._wanted))
        self._mode = "rest"
        self._set(min(wanted, most), cause, now)

    def _alone(self, value: float) -> float:
        """Latency at a limit if nobody else were there: the least base of late, with the curve's slope."""
        return min(1.0, self._base_s / self._curve.free(1)) * self._curve.free(value)

    def _unsure(self) -> bool:
        """Whether the knee may be far from where it is thought to be, and nothing forbids to look."""
        wide = self._curve.quantile(0.8) > UNSURE * self._curve.quantile(0.2)
        return wide and self._wanted < PASSED * self._ceiling.at

    def _queue(self, knee: float) -> float:
        return SEEK[self.seek][3] * math.sqrt(knee)

    def _plan(self, now: float) -> None:
        """The next look."""
        plan = self._timetable.first if self._news or self._unsure() else self._timetable.later
        plan(now, self._curve.free(self._value))

    # Refusals.

    def _overload(self, now: float) -> None:
        if self._mode == "start":
            if not self._curve.seen:
                self._curve.add(1, 0.1, 1.0)
                self._curve.fit()
            self._timetable.soon(now, self._curve.free(self._value))
        elif self._mode != "rest":
            self._plan(now)
        self._mode = "rest"
        self._drained = 0
        self._calibrated = True
        least = self._ceiling.cut(self._value, now)
        if least or len(self._done) < 2:
            self._set(float(least), Cause.refused, now)
            return
        self._accepted = Accepted(self._done, now)
        self.rate_per_s = self._accepted.rate_per_s
        self._set(2.0 * self._value + 4, Cause.paced, now)

    def _pace(self, accepted: Accepted, sample: Sample) -> None:
        if accepted.add(sample):
            self.rate_per_s = accepted.rate_per_s
            self.cause = Cause.pace_changed
        self._bound = self._bound + 1 if sample.outcome is Outcome.ok and sample.in_flight >= self._value else 0
        if self._bound > 3 * self._value + 30:
            self._accepted, self._bound = None, 0
            self._ceiling.lift()
            self._calibrated = False
            self._set(self._wanted, Cause.pace_ended, sample.done)

    def _set(self, wanted: float, cause: Cause, now: float, keep: bool = False) -> None:
        """Change the limit and measure anew; `keep`: it comes back from there."""
        wanted = max(float(self.minimum), min(float(self.maximum), wanted, self._ceiling.top(now)))
        if not keep:
            self._wanted = wanted
        value = max(self.minimum, math.floor(wanted + 1e-9))
        if self._accepted is None:
            rate_per_s = PACE * max(value, self._value) / self._curve.free(value)
            self.rate_per_s = rate_per_s if self._ceiling.met else math.inf
        before, self._value = self._value, value
        if value == before:
            self._again(now)
            return
        self._changes += 1
        self.cause = cause
        self._ceiling.clear()
        if self._mode == "start":
            self._block = Block.at_once(value, START_MIN, now, min(before - 1, value))
        else:
            self._block = Block(value, REST_MIN if self._mode == "rest" else LOOK_MIN, value)

    def _again(self, now: float) -> None:
        """Measure anew at the same limit: nothing has to be washed out."""
        self._ceiling.clear()
        least = {"start": START_MIN, "rest": REST_MIN, "look": LOOK_MIN, "more": LOOK_MIN}[self._mode]
        self._block = Block(self._value, least, since=now)

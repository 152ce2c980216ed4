"""The pace of attempts at a server that limits a rate: found by being refused now and then; pure.

Rules of this file
  1. The first pace is the rate that the server accepted. A window of answers judges it: of 50 answers, or of 2 s.
  2. A window with refusals lowers the pace to the accepted rate, by 30 % at most: one bad moment is not the rate. At
     the accepted rate a limited server refuses hardly any; if the next window has refusals too, the pace falls by 30 %.
  3. Up to 90 % of the pace at which refusals last began, it is regained by half in each window; then it grows slowly.
  4. A pace that was not used has shown nothing, and does not grow. That of a quota grows once in a period.
  5. A server that limits a rate refuses nothing at half of what it accepted. If refusals go on there, sending less does
     not help (`in_vain`; tolerance.py).
"""

from __future__ import annotations

from harness.client.limits.knee.ceiling import OVERLOAD
from harness.client.limits.knee.tolerance import SHARE_MAX, SOME
from harness.client.types import Outcome, Sample

# Refusals per accepted attempt up to which the pace still grows; it must be slightly too high to learn anything.
REFUSED_MAX = 0.02
STEP, STEP_GROWTH, STEP_MAX = 0.01, 1.25, 0.25
FALL_MAX, REGAIN, REGAIN_UP_TO = 0.7, 1.5, 0.9
# A pace is used if attempts come at this share of it.
USED = 0.7
# A window ends after so many answers and seconds, or after more seconds with fewer answers.
ANSWERS, WINDOW_S = 50, 0.5
ANSWERS_MIN, WINDOW_MAX_S = 4, 2.0
# Share of the first pace at which a limited rate is not used up, and the least refusals and attempts that show there
# that lowering the pace has been in vain.
HALF = 0.5
LEAST, POOLED = 3, 30


class Pacing:
    """The rate at which attempts start; `period_s` is that of a quota, if it is one."""

    def __init__(self, rate_per_s: float, now: float, period_s: float = 0.0) -> None:
        self.rate_per_s = rate_per_s
        self._period_s = period_s
        # A quota shows only at the end of its period that the pace is too high.
        self._grows_at = now + period_s
        # The pace at which refusals last began.
        self._refused_per_s = rate_per_s
        self._falling = False
        self._step = STEP
        self._first_per_s = rate_per_s
        # The share that is refused at any pace; 0: it falls with the pace, or that is not known.
        self.in_vain = 0.0
        # At half of the first pace or less.
        self._low = self._low_refused = 0
        self.begin(now)

    def begin(self, now: float) -> None:
        """Begin a new window."""
        self._since, self._ok, self._refused = now, 0, 0

    def add(self, sample: Sample) -> bool:
        """Count an attempt that ended; True if the rate has changed."""
        if sample.outcome is Outcome.ok:
            self._ok += 1
        elif sample.outcome in OVERLOAD:
            self._refused += 1
        span_s, count = sample.done - self._since, self._ok + self._refused
        full = count >= ANSWERS and span_s >= WINDOW_S
        if not full and (count < ANSWERS_MIN or span_s < WINDOW_MAX_S):
            return False
        before = self.rate_per_s
        if before <= HALF * self._first_per_s:
            self._judge_low(count)
        used = count >= USED * before * span_s
        if self._refused > REFUSED_MAX * self._ok:
            self._fall(span_s)
        elif used and sample.done >= self._grows_at:
            self._grows_at = sample.done + self._period_s
            self._grow(span_s)
        self.begin(sample.done)
        return self.rate_per_s != before

    def _judge_low(self, count: int) -> None:
        self._low += count
        self._low_refused += self._refused
        share = self._low_refused / self._low
        if self._low >= POOLED and self._low_refused >= LEAST and SOME <= share <= SHARE_MAX:
            self.in_vain = share

    def _fall(self, span_s: float) -> None:
        if not self._falling:
            self._refused_per_s = self.rate_per_s
        accepted_per_s = 0.0 if self._falling else self._ok / span_s
        self._falling = True
        self.rate_per_s = min(self.rate_per_s, max(FALL_MAX * self.rate_per_s, accepted_per_s))
        self._step = STEP

    def _grow(self, span_s: float) -> None:
        self._falling = False
        known = REGAIN_UP_TO * self._refused_per_s
        if self.rate_per_s < known:
            self.rate_per_s = min(known, REGAIN * self.rate_per_s)
            return
        # A window of few answers lasts long; by its time it has earned several steps.
        self.rate_per_s *= 1 + min(STEP_MAX, self._step * max(1.0, span_s / WINDOW_MAX_S))
        self._step = STEP if self._refused else min(STEP_MAX, STEP_GROWTH * self._step)

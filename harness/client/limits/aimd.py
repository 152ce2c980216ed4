"""Additive increase, multiplicative decrease, on latency and errors.

Rules of this file
  1. Samples are evaluated in windows. A window counts only samples admitted under the present limit: attempts sent
     before the last change say nothing about it. A change ends the window, so each limit gives at most one change.
  2. Outcomes that the caller caused (client_error, cancelled, not_sent), and bad_response, which only a person can
     judge, never move the limit.
  3. The baseline is a minimum over window means, not a moving average: an average follows a slowly growing queue
     upwards and mistakes it for the base latency.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.client.checks import at_least, between, positive
from harness.client.errors import SettingError
from harness.client.types import Outcome, Sample, Signal

WINDOW_MIN = 8  # samples; the mean of fewer says little
# A single error never lowers the limit, however large its share of a small window.
ERRORS_MIN = 2


@dataclass
class Aimd:
    """More in flight while latency and errors are low, a factor fewer when either rises.

    With L the limit, a window is n = max(8, L) samples of the present generation, R the mean latency of those that were
    ok, e the share of errors, and T = `latency_target_s`, or `tolerance` times the baseline (the least R seen so far):
      * e > `error_share` and at least two errors: L <- floor(`backoff` L), as soon as that much is sure
      * R > T:                                     L <- floor(`backoff` L)
      * else, if the limit was used:               L <- L + max(1, floor(sqrt(L))), or 2 L until the first decrease
    clamped to [`minimum`, `maximum`]. The square root makes the way from 10 to 200 one of 25 windows (with + 1 it is
    190), and its overshoot is under a tenth of L beyond 100. "Used" means that at least L/2 were in flight: an idle
    client learns nothing about a higher limit. A window with R > T at the minimum sets the baseline to R: with so few
    in flight it is the server that got slower, not the queue. One object serves one gate, whose generation is the count
    of this object's changes.

    Args:
        initial: Attempts in flight at the start. Default 4.
        minimum: Lower bound of the limit, in attempts. Default 1.
        maximum: Upper bound of the limit, in attempts. Default 200.
        latency_target_s: Mean latency in seconds above which the limit falls. Default None: `tolerance` times
            the least mean latency so far.
        tolerance: Factor of the least mean latency above which the limit falls. Default 2.0.
        error_share: Share of errors in a window above which the limit falls, 0 to 1. Default 0.1.
        backoff: Factor of the limit at a decrease, 0.1 to 0.99. Default 0.7.
        slow_start: Whether the limit doubles until its first decrease. Default True.
    """

    initial: int = 4
    minimum: int = 1
    maximum: int = 200
    latency_target_s: float | None = None
    tolerance: float = 2.0
    error_share: float = 0.1
    backoff: float = 0.7
    slow_start: bool = True

    def __post_init__(self) -> None:
        between(self, 1, 1_000_000, "initial", "minimum", "maximum")
        if self.maximum < self.minimum:
            raise SettingError(f"maximum={self.maximum} must be at least minimum={self.minimum}")
        if self.latency_target_s is not None:
            positive(self, "latency_target_s")
        at_least(self, 1.0, "tolerance")
        between(self, 0.0, 1.0, "error_share")
        between(self, 0.1, 0.99, "backoff")
        self._value = max(self.minimum, min(self.maximum, self.initial))
        self._starting = self.slow_start
        self._baseline_s = math.inf
        self._changes = 0
        self._ok = self._errors = 0  # samples of this window
        self._peak = 0  # most in flight during it
        self._latency_sum_s = 0.0  # of those that were ok

    @property
    def value(self) -> int:
        """Attempts allowed in flight, now."""
        return self._value

    def update(self, sample: Sample, /) -> None:
        """Learn from one attempt."""
        if sample.generation < self._changes or sample.signal is Signal.ignored:
            return
        if sample.outcome is Outcome.ok:
            self._ok += 1
            self._latency_sum_s += sample.latency_s
        else:
            self._errors += 1
        self._peak = max(self._peak, sample.in_flight)
        size = max(WINDOW_MIN, self._value)
        if self._errors >= ERRORS_MIN and self._errors > self.error_share * size:
            self._decrease()
        elif self._ok + self._errors >= size:
            self._judge()

    def _judge(self) -> None:
        """The window is full and its errors are few (or too few to be significant)."""
        # Only errors, and an `error_share` that allows that.
        if self._ok == 0:
            self._decrease()
            return
        mean_s = self._latency_sum_s / self._ok
        self._baseline_s = min(self._baseline_s, mean_s)
        target_s = self.latency_target_s or self.tolerance * self._baseline_s
        if mean_s > target_s:
            if self._value == self.minimum:
                self._baseline_s = mean_s
            self._decrease()
        elif 2 * self._peak >= self._value:
            self._step(self._value + (self._value if self._starting else math.isqrt(self._value)))
        else:
            self._clear()

    def _decrease(self) -> None:
        self._starting = False
        self._step(math.floor(self.backoff * self._value))

    def _step(self, value: int) -> None:
        value = max(self.minimum, min(self.maximum, value))
        if value != self._value:
            self._value = value
            self._changes += 1
        self._clear()

    def _clear(self) -> None:
        self._ok = self._errors = self._peak = 0
        self._latency_sum_s = 0.0

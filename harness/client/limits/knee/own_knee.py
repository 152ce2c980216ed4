"""The client's own share of the server's knee: its limit without the attempts of its own that wait; pure.

Rules of this file
  1. Own attempts that wait = own throughput x queueing delay (Little's law). The limit without them is the own knee. It
     does not depend on the limit while a queue stands, so windows at different limits are pooled.
  2. A window without a queue shows only that the knee is not below its limit. It no longer counts once the limit is
     higher.
  3. A window that contradicts the others beyond noise replaces them: a larger knee at once, a smaller one if the next
     window confirms it, as a single one may be a passing stall.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from harness.client.limits.knee.quantiles import Quantiles, low_suffice
from harness.client.limits.knee.window import WindowResult

# Answers that are pooled.
POOLED = 400
# A difference that counts: in standard errors, and as a share of the limit.
ERRORS, SHARE = 3.0, 0.05
# The error of service times is larger by this number over the number of answers.
FEW = 12.0
# A window at less than this share of the limit, without a queue of so many standard errors, is outdated.
OUTDATED, QUEUE_ERRORS = 0.9, 2.0
# The knee is at most this multiple of the limit that was measured.
MOST = 1.1


@dataclass(frozen=True, slots=True)
class KneeEstimate:
    """The knee and its standard error, in attempts."""

    knee: float
    error: float
    smaller: bool


class OwnKnee:
    """The last windows."""

    def __init__(self) -> None:
        self._windows: deque[WindowResult] = deque()
        self._smaller = False

    def clear(self) -> None:
        """Forget all measurements."""
        self._windows.clear()
        self._smaller = False

    def add(self, window: WindowResult, service: Quantiles) -> KneeEstimate | None:
        """Take a window into account; None while it contradicts the others and is not confirmed."""
        low = low_suffice(service, window.value)
        service_s = service.mean_s(low)
        knee, error = _knee(window, low, service_s)
        smaller = False
        if self._windows:
            pooled, count = self._pooled(low, service_s)
            errors = error * math.sqrt(1 + window.quantiles.count / count)
            if abs(knee - pooled) > ERRORS * errors + SHARE * window.value:
                smaller = knee < pooled
                if smaller and not self._smaller:
                    self._smaller = True
                    return None
                self._windows.clear()
        self._smaller = False
        self._keep(window, low, service_s)
        pooled, count = self._pooled(low, service_s)
        error *= math.sqrt(window.quantiles.count / count)
        # A few short service times look even; so the spread of the window counts, if it is larger.
        service_error_s = max(service.error_s(low), window.quantiles.error_s(low, service.count))
        service_error_s *= 1.0 + FEW / service.count
        error = math.hypot(error, service_error_s / window.latency_s * window.value)
        return KneeEstimate(max(1.0, min(pooled, MOST * window.value)), error, smaller)

    def _keep(self, window: WindowResult, low: bool, service_s: float) -> None:
        kept = deque[WindowResult]()
        for one in self._windows:
            knee, error = _knee(one, low, service_s)
            if one.value > OUTDATED * window.value or knee < one.value - QUEUE_ERRORS * error:
                kept.append(one)
        kept.append(window)
        while sum(one.quantiles.count for one in kept) - kept[0].quantiles.count >= POOLED:
            kept.popleft()
        self._windows = kept

    def _pooled(self, low: bool, service_s: float) -> tuple[float, int]:
        count = sum(one.quantiles.count for one in self._windows)
        return sum(_knee(one, low, service_s)[0] * one.quantiles.count for one in self._windows) / count, count


def _knee(window: WindowResult, low: bool, service_s: float) -> tuple[float, float]:
    """The knee by one window, and the standard error that the window adds."""
    per_s = window.value / window.latency_s
    waiting = per_s * (window.quantiles.mean_s(low) - service_s)
    return window.value - waiting, per_s * window.quantiles.error_s(low)

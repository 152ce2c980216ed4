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

import msgspec

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


class KneeEstimate(msgspec.Struct, frozen=True):
    """The knee and its standard error, in attempts."""

    knee: float
    error: float
    smaller: bool


class _Weighed(msgspec.Struct, frozen=True):
    """A window, the knee by it, and the standard error that it adds."""

    window: WindowResult
    knee: float
    error: float
    count: int


class OwnKnee:
    """The last windows."""

    def __init__(self) -> None:
        # By the service times for which they were weighed, and whether by low quantiles.
        self._windows: list[_Weighed] = []
        self._by: tuple[Quantiles, bool] | None = None
        self._smaller = False

    def clear(self) -> None:
        """Forget all measurements."""
        self._windows.clear()
        self._smaller = False

    def add(self, window: WindowResult, service: Quantiles) -> KneeEstimate | None:
        """Take a window into account; None while it contradicts the others and is not confirmed."""
        low = low_suffice(service, window.value)
        self._weigh(service, low)
        new = _weighed(window, low, service.mean_s(low))
        smaller = False
        if self._windows:
            pooled, count = self._pooled()
            errors = new.error * math.sqrt(1 + new.count / count)
            if abs(new.knee - pooled) > ERRORS * errors + SHARE * window.value:
                smaller = new.knee < pooled
                if smaller and not self._smaller:
                    self._smaller = True
                    return None
                self._windows.clear()
        self._smaller = False
        self._keep(new)
        pooled, count = self._pooled()
        error = new.error * math.sqrt(new.count / count)
        # A few short service times look even; so the spread of the window counts, if it is larger.
        service_error_s = max(service.error_s(low), window.quantiles.error_s(low, service.count))
        service_error_s *= 1.0 + FEW / service.count
        error = math.hypot(error, service_error_s / window.latency_s * window.value)
        return KneeEstimate(max(1.0, min(pooled, MOST * window.value)), error, smaller)

    def _weigh(self, service: Quantiles, low: bool) -> None:
        """Weigh the windows again, if other service times are known."""
        if self._by is None or self._by[0] is not service or self._by[1] is not low:
            self._windows = [_weighed(one.window, low, service.mean_s(low)) for one in self._windows]
            self._by = service, low

    def _keep(self, new: _Weighed) -> None:
        least = OUTDATED * new.window.value
        kept = [
            one
            for one in self._windows
            if one.window.value > least or one.knee < one.window.value - QUEUE_ERRORS * one.error
        ]
        kept.append(new)
        count = sum([one.count for one in kept])
        while count - kept[0].count >= POOLED:
            count -= kept.pop(0).count
        self._windows = kept

    def _pooled(self) -> tuple[float, int]:
        count = sum([one.count for one in self._windows])
        return sum([one.knee * one.count for one in self._windows]) / count, count


def _weighed(window: WindowResult, low: bool, service_s: float) -> _Weighed:
    per_s = window.value / window.latency_s
    found = window.quantiles
    waiting = per_s * (found.mean_s(low) - service_s)
    return _Weighed(window, window.value - waiting, per_s * found.error_s(low), found.count)

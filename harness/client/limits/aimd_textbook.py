"""AIMD as articles on API clients have it: one more while latency and errors are low, half when either is not.

Kept as a baseline. Samples carry no generation, so answers to requests sent before a change count after it, and the
latency target must be known in advance instead of being measured.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.client.checks import at_least, between, positive
from harness.client.types import Sample, Signal


@dataclass
class AimdTextbook:
    """One more per window while mean latency and errors are under their targets, half as many when not.

    Args:
        initial: Attempts in flight at the start. Default 4.
        maximum: Upper bound of the limit, in attempts. Default 200.
        latency_target_s: Mean latency in seconds above which the limit is halved. Default 1.0.
        error_share: Share of errors in a window above which the limit is halved, 0 to 1. Default 0.05.
        window: Answers in a window. Default 10.
    """

    initial: int = 4
    maximum: int = 200
    latency_target_s: float = 1.0
    error_share: float = 0.05
    window: int = 10

    def __post_init__(self) -> None:
        between(self, 1, 1_000_000, "initial", "maximum")
        positive(self, "latency_target_s")
        between(self, 0.0, 1.0, "error_share")
        at_least(self, 1, "window")
        self._value = min(self.initial, self.maximum)
        self._clear()

    @property
    def value(self) -> int:
        """Attempts allowed in flight, now."""
        return self._value

    def _clear(self) -> None:
        self._count = self._errors = 0
        self._total_s = 0.0

    def update(self, sample: Sample, /) -> None:
        """Learn from one attempt; constant time."""
        signal = sample.signal
        if signal is Signal.ignored:
            return
        self._count += 1
        self._errors += signal is Signal.overload
        self._total_s += sample.latency_s if signal is Signal.success else 0.0
        if self._count < self.window:
            return
        answered = self._count - self._errors
        slow = answered > 0 and self._total_s / answered > self.latency_target_s
        if slow or self._errors > self.error_share * self._count:
            self._value = max(1, self._value // 2)
        else:
            self._value = min(self.maximum, self._value + 1)
        self._clear()

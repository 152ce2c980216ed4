"""Size of a batch: halved above one latency, doubled below another; pure."""

from __future__ import annotations


class BatchSize:
    """A size between `minimum` and `maximum`, unchanged while the latency is between the two thresholds.

    A request that was refused, failed or timed out counts as too slow. A request that was not full says nothing about
    larger ones, so it never doubles the size. An answer only changes the size under which its request was sent, so a
    dozen slow requests in flight halve it once.
    """

    def __init__(self, start: int, minimum: int, maximum: int, low_s: float, high_s: float) -> None:
        self.value = start
        self._minimum, self._maximum = minimum, maximum
        self._low_s, self._high_s = low_s, high_s

    def update(self, sent_under: int, items: int, latency_s: float, ok: bool) -> None:
        """Record the latency of a request of `items`, formed while the size was `sent_under`."""
        if sent_under != self.value:
            return
        if not ok or latency_s > self._high_s:
            self.value = max(self._minimum, self.value // 2)
        elif latency_s < self._low_s and items >= sent_under:
            self.value = min(self._maximum, self.value * 2)

"""How many items go into one request: halved above a latency, doubled below one; pure."""

from __future__ import annotations


class BatchSize:
    """Between `minimum` and `maximum`; two latencies decide, and between them nothing moves.

    A request that the server refused, failed or let time out counts as too slow. One that was not full says nothing
    of larger ones, so it never doubles; and no answer moves a size other than the one it was sent under, so that a
    dozen requests in flight halve once.
    """

    def __init__(self, start: int, minimum: int, maximum: int, low_s: float, high_s: float) -> None:
        self.value = start
        self._minimum, self._maximum = minimum, maximum
        self._low_s, self._high_s = low_s, high_s

    def update(self, sent_under: int, items: int, latency_s: float, ok: bool) -> None:
        """A request of `items`, formed while the size was `sent_under`, took so long."""
        if sent_under != self.value:
            return
        if not ok or latency_s > self._high_s:
            self.value = max(self._minimum, self.value // 2)
        elif latency_s < self._low_s and items >= sent_under:
            self.value = min(self._maximum, self.value * 2)

"""Detects an outage: distinguishes a server that is gone from an item that breaks its connections. Pure.

A failed connection does not count against an item as long as no other item got an answer: it is sent again when the
server is back. An item becomes a dead letter if it fails a second time although others were answered in between.
"""

from __future__ import annotations

import math

# Consecutive failed connections after which nothing more is sent.
_IN_A_ROW = 8
# As many are enough once the patience is over: an adaptive strategy then sends a probe every two seconds.
_FEW = 3
_PAUSE_MIN_S, _PAUSE_MAX_S = 0.25, 5.0


class Outage:
    """Counts answers and failed connections; gives the server up after `patience_s` without an answer."""

    def __init__(self, patience_s: float) -> None:
        self.answers = 0
        self._patience_s = patience_s
        self._in_a_row = 0
        self._since = math.nan
        self._pause_s = _PAUSE_MIN_S

    def answered(self) -> None:
        """The server sent an answer of any kind."""
        self.answers += 1
        self._in_a_row = 0
        self._since = math.nan
        self._pause_s = _PAUSE_MIN_S

    def refused(self, now: float) -> None:
        """A connection failed or broke."""
        self._in_a_row += 1
        if math.isnan(self._since):
            self._since = now
        if self._in_a_row >= _FEW and self.over(now):
            self.gone()

    def gone(self) -> None:
        """A probe has failed."""
        self._in_a_row = max(self._in_a_row, _IN_A_ROW)

    @property
    def down(self) -> bool:
        """Whether nothing gets through."""
        return self._in_a_row >= _IN_A_ROW

    def lasts_s(self, now: float) -> float:
        """Seconds without an answer; 0 if there was one since the last failure."""
        return 0.0 if math.isnan(self._since) else now - self._since

    def over(self, now: float) -> bool:
        """Whether the outage exceeds the patience."""
        return self.lasts_s(now) >= self._patience_s

    def pause_s(self, now: float) -> float:
        """Backoff before the next probe: doubles each time, within the patience."""
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, _PAUSE_MAX_S)
        return max(0.01, min(pause_s, self._patience_s - self.lasts_s(now)))

    def look_again(self) -> None:
        """The server accepts connections: try to send."""
        self._in_a_row = 0

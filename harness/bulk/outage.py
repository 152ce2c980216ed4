"""Is the server gone, or is it this item? Pure: it is told what came back, and asked what to do.

An item that finds no connection is not at fault as long as nobody else got an answer either: it is tried again when the
server is back. Only an item that fails so a second time, though others were answered in between, is a dead letter.
"""

from __future__ import annotations

import math

_IN_A_ROW = 8  # so many without a connection, and no answer between them: nothing more is sent
_PAUSE_MIN_S, _PAUSE_MAX_S = 0.25, 5.0


class Outage:
    """Counts answers and failures to connect; after `patience_s` without an answer the server is given up."""

    def __init__(self, patience_s: float) -> None:
        self.answers = 0
        self._patience_s = patience_s
        self._in_a_row = 0
        self._since = math.nan
        self._pause_s = _PAUSE_MIN_S

    def answered(self) -> None:
        """The server said something, whatever it was."""
        self.answers += 1
        self._in_a_row = 0
        self._since = math.nan
        self._pause_s = _PAUSE_MIN_S

    def refused(self, now: float) -> None:
        """There was no connection, or it broke."""
        self._in_a_row += 1
        if math.isnan(self._since):
            self._since = now

    def gone(self) -> None:
        """A look has found nothing there."""
        self._in_a_row = max(self._in_a_row, _IN_A_ROW)

    @property
    def down(self) -> bool:
        """Nothing gets through."""
        return self._in_a_row >= _IN_A_ROW

    def lasts_s(self, now: float) -> float:
        """How long there has been no answer; 0 if there was one since the last failure."""
        return 0.0 if math.isnan(self._since) else now - self._since

    def over(self, now: float) -> bool:
        """Patience is at its end."""
        return self.lasts_s(now) >= self._patience_s

    def pause_s(self, now: float) -> float:
        """How long to wait before the next look: longer each time, never beyond the patience."""
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, _PAUSE_MAX_S)
        return max(0.01, min(pause_s, self._patience_s - self.lasts_s(now)))

    def look_again(self) -> None:
        """Something accepts connections: send, and see."""
        self._in_a_row = 0

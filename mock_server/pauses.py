"""Pauses of a server: all work stops, and work in service continues after the pause. Pure.

Instants are on the caller's clock; `zero` is the instant from which the profile counts. A window is half open: work
that ends at the instant at which a pause begins has ended.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mock_server.profile import Pause


class Pauses:
    """The pauses of a profile, counted from `zero`."""

    def __init__(self, pauses: Sequence[Pause] = (), zero: float = 0.0) -> None:
        self._pauses = tuple(pauses)
        self._zero = zero

    def ends(self, start: float, seconds: float) -> float:
        """The end of work that begins at `start` and takes `seconds`, pauses included."""
        if not self._pauses:
            return start + seconds
        while True:
            begin, end = self._next(start)
            if start + seconds <= begin:
                return start + seconds
            seconds -= max(0.0, begin - start)
            start = end

    def worked_s(self, start: float, until: float) -> float:
        """Seconds between two instants without the pauses."""
        if not self._pauses:
            return until - start
        worked = 0.0
        while start < until:
            begin, end = self._next(start)
            worked += max(0.0, min(begin, until) - start)
            start = end
        return worked

    def _next(self, now: float) -> tuple[float, float]:
        """Begin and end of the current or next pause; both infinite if no pause follows."""
        return min((_window(pause, now, self._zero) for pause in self._pauses), default=(math.inf,) * 2)


def _window(pause: Pause, now: float, zero: float) -> tuple[float, float]:
    """The pause's current or next window. Its end is always > `now`, so a loop from end to end makes progress."""
    period_s = pause.period_s
    if period_s is None:
        end = zero + pause.end_s
        return (zero + pause.start_s, end) if now < end else (math.inf, math.inf)
    turn = max(0, math.floor((now - zero - pause.start_s) / period_s))
    while now >= zero + turn * period_s + pause.end_s:
        turn += 1
    return zero + turn * period_s + pause.start_s, zero + turn * period_s + pause.end_s

"""When to look: at round times of a clock that clients of a machine share, and rarer while nothing changes; pure."""

from __future__ import annotations

import math

FIRST_S, MAX_S = 2.0, 64.0
BASES, BASES_SOON = 30, 10  # latencies between looks
SHARE, SHARE_FIRST = 6, 2  # times as long as the last look took


class Timetable:
    """The next look. Rounds are powers of two of a second, so that the looks of clients meet whatever their pace."""

    def __init__(self) -> None:
        self.at = math.inf
        self.took_s = 0.0  # the last look
        self._every_s = FIRST_S

    def first(self, now: float, base_s: float) -> None:
        """Something is new: the usual first distance."""
        self._plan(FIRST_S, BASES * base_s, SHARE_FIRST * self.took_s, now)

    def soon(self, now: float, base_s: float) -> None:
        """Something is wrong: as soon as it can be seen."""
        self._plan(FIRST_S / 4, BASES_SOON * base_s, 0.0, now)

    def later(self, now: float, base_s: float) -> None:
        """Nothing is new: twice as far."""
        self._plan(min(MAX_S, 2 * self._every_s), BASES * base_s, SHARE * self.took_s, now)

    def _plan(self, every_s: float, bases_s: float, looks_s: float, now: float) -> None:
        self._every_s = every_s
        round_s = 2.0 ** math.ceil(math.log2(max(every_s, bases_s, looks_s)))
        self.at = (math.floor(now / round_s) + 1) * round_s

"""When to probe: at round times of a clock that all clients on a machine share, rarer while nothing changes; pure."""

from __future__ import annotations

import math

FIRST_S, MAX_S = 2.0, 64.0
# Least base latencies between probes.
BASES, BASES_SOON = 30, 10
# Least interval, in durations of the last probe.
SHARE, SHARE_FIRST = 6, 2


class Timetable:
    """The next probe. Intervals are powers of two of a second, so that the probes of clients coincide."""

    def __init__(self) -> None:
        self.at = math.inf
        self.took_s = 0.0  # duration of the last probe
        self._every_s = FIRST_S

    def first(self, now: float, base_s: float) -> None:
        """After news: the usual first interval."""
        self._plan(FIRST_S, BASES * base_s, SHARE_FIRST * self.took_s, now)

    def soon(self, now: float, base_s: float) -> None:
        """After a surprise: as soon as a probe can measure it."""
        self._plan(FIRST_S / 4, BASES_SOON * base_s, 0.0, now)

    def later(self, now: float, base_s: float) -> None:
        """Without news: twice the last interval."""
        self._plan(min(MAX_S, 2 * self._every_s), BASES * base_s, SHARE * self.took_s, now)

    def _plan(self, every_s: float, bases_s: float, probes_s: float, now: float) -> None:
        self._every_s = every_s
        round_s = 2.0 ** math.ceil(math.log2(max(every_s, bases_s, probes_s)))
        self.at = (math.floor(now / round_s) + 1) * round_s

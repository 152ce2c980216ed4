"""Slows all workers when the server refuses calls of any of them; pure.

Rules of this file
  1. A server that refuses everything of a worker and names a time (Retry-After) pauses all workers for that time.
  2. Else the common rate follows the share of refused calls, once a period: a few percent of refusals, which retries
     absorb, leave it almost as it is; when half is refused it settles where about a tenth is refused.
  3. It returns to the full rate by a twentieth a period.
"""

from __future__ import annotations

import math

PERIOD_S = 1.0
PAUSE_MAX_S = 60.0
_BACK = 0.05
_LEAST = 0.02


class Throttle:
    """The factor of the common rate, and the pause of all workers."""

    def __init__(self) -> None:
        self.factor = 1.0
        self.paused_until = -math.inf
        self._finished = self._refused = 0
        self._period_ends = -math.inf

    def report(self, finished: int, refused: int, pause_s: float, now: float) -> None:
        """The observations of one worker since its last report.

        Args:
            finished: Calls that ended.
            refused: Those that ended with 429 or 503.
            pause_s: Seconds for which the server wants nothing more from this worker; 0 if it accepts some calls.
            now: The present instant.
        """
        self._finished += finished
        self._refused += refused
        if pause_s > 0:
            self.paused_until = max(self.paused_until, now + min(pause_s, PAUSE_MAX_S))
        if self._period_ends == -math.inf:
            self._period_ends = now + PERIOD_S
        elif now >= self._period_ends:
            self._end_period(now)

    def _end_period(self, now: float) -> None:
        share = self._refused / self._finished if self._finished else 0.0
        self.factor = min(1.0, max(_LEAST, self.factor * (1 - share) + _BACK))
        self._finished = self._refused = 0
        self._period_ends = now + PERIOD_S

    def pause_s(self, now: float) -> float:
        """Seconds until calls may start again; 0 if they may start now."""
        return max(0.0, self.paused_until - now)

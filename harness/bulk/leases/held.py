"""The worker's side of the lease protocol: how long a lease may be used; pure."""

from __future__ import annotations

import math


class Held:
    """The instant until which the leases of a worker hold, by the worker's own clock.

    A message renews leases when the coordinator gets it. The worker counts from the instant at which it sent that
    message, which is earlier, and only once an answer shows that it arrived. So it stops before the coordinator gives
    the range to another worker, however slow the messages are, if both clocks run at the same speed.
    """

    def __init__(self, ttl_s: float, margin: float = 0.1) -> None:
        # The margin covers clocks of different speed.
        self._usable_s = ttl_s * (1 - margin)
        self._sent_at: float | None = None
        self.until = -math.inf

    def sent(self, now: float) -> None:
        """A message that renews all leases is sent."""
        self._sent_at = now

    def answered(self) -> None:
        """The answer to the last message came."""
        if self._sent_at is not None:
            self.until = self._sent_at + self._usable_s
            self._sent_at = None

    def over(self, now: float) -> bool:
        """Whether the leases may not be used any more."""
        return now > self.until

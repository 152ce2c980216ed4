"""A sample: the facts of an attempt that a limit learns from."""

from __future__ import annotations

import msgspec

from harness.client.bound import Bound
from harness.client.outcome import SIGNALS, Outcome, Signal

# By number: quicker than by the hash of an enum.
_SIGNAL_AT = tuple(SIGNALS[outcome] for outcome in Outcome)


class Sample(msgspec.Struct, frozen=True, gc=False):
    """Facts of one attempt that a limit learns from. Attempts that were never sent give no sample.

    Attributes:
        outcome: Outcome of the attempt.
        sent: Instant at which the exchange began, in seconds on the loop's clock.
        done: Instant of its end.
        in_flight: Attempts in flight just after this one was admitted, itself included.
        limit: Limit under which it was admitted.
        generation: Changes of the limit before it was admitted.
        retry_after_s: Seconds that the server asks the client to wait. Default None.
        work: Cost relative to an average attempt; see `harness.client.gate.size`. Default 1.0.
        lag_s: Part of `done - sent` attributed to delay of the client's own event loop, in seconds. Default
            0.0.
        streak: Of a failure: failures in a row, this one included, if no attempt from before them is in flight.
            Then the server accepts nothing. Default 0.
        bound: What kept the next attempt from starting when this one ended. Default `Bound.limit`.
        queue_s: Seconds that the server says the request waited there (`Server-Timing: queue`), for a limit that uses
            them. Default None.
        first_s: Seconds to the first content event of a stream, likewise. Default None.
    """

    outcome: Outcome
    sent: float
    done: float
    in_flight: int
    limit: int
    generation: int
    retry_after_s: float | None = None
    work: float = 1.0
    lag_s: float = 0.0
    streak: int = 0
    bound: Bound = Bound.limit
    queue_s: float | None = None
    first_s: float | None = None

    @property
    def signal(self) -> Signal:
        """Success, overload, or ignored: an ignored attempt only held a slot for its time."""
        return _SIGNAL_AT[self.outcome]

    @property
    def latency_s(self) -> float:
        """Latency of the server, without the client's own lateness."""
        return self.done - self.sent - self.lag_s

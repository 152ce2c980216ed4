"""When to drain: at round times of a clock that all clients on a machine share; pure.

Rules of this file
  1. All clients of a server have to drain at the same instants, because one alone cannot end the queue of all.
  2. So intervals are powers of four of a second: clients that measure slightly different latencies have the same.
  3. A drain costs throughput, so intervals grow with the service time. While little is known they are shorter.
"""

from __future__ import annotations

import math

# Intervals, usually and soon: least seconds, and service times.
USUAL_S, USUAL = 4.0, 12.0
SOON_S, SOON = 0.5, 8.0
# The least interval in latencies, if it is shorter than usual, so that there is time to rest. The usual one does not
# depend on them: a client with a longer queue would drain at other instants than the rest.
LATENCIES = 10.0
# The first may not come earlier than after so many latencies.
AFTER = 3.0
# A drain begins with the first answer after a round time.
LATE_S = 0.2


class Timetable:
    """The next drain."""

    def __init__(self) -> None:
        self.at = math.inf

    def plan(self, now: float, service_s: float, latency_s: float, soon: bool) -> None:
        """Plan the next drain at the usual interval, or soon."""
        if soon:
            every_s = _round(max(SOON_S, SOON * service_s, LATENCIES * latency_s), 2.0)
        else:
            every_s = _round(max(USUAL_S, USUAL * service_s), 4.0)
        self.at = (math.floor(now / every_s) + 1) * every_s
        if self.at - now < AFTER * latency_s:
            self.at += every_s

    def earlier(self, now: float, service_s: float, latency_s: float) -> None:
        """Drain soon, if that is earlier than planned."""
        planned = self.at
        self.plan(now, service_s, latency_s, soon=True)
        self.at = min(self.at, planned)


def together(now: float, service_s: float, every: int = 1) -> bool:
    """Whether all clients of the machine drain now; with `every`, only at one in so many of their instants."""
    return now % (every * _round(max(USUAL_S, USUAL * service_s), 4.0)) < LATE_S


def _round(least_s: float, power: float) -> float:
    """The next power, with some grace for rounding."""
    return float(power ** math.ceil(math.log(least_s, power) - 1e-9))

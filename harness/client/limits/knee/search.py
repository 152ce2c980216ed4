"""The state of the search for the knee, and the moves that all phases share."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from harness.client.cause import Cause
from harness.client.limits.knee.base import Base, Drain
from harness.client.limits.knee.ceiling import Ceiling
from harness.client.limits.knee.deferred import Deferred
from harness.client.limits.knee.outage import Outage
from harness.client.limits.knee.own_knee import OwnKnee
from harness.client.limits.knee.pacing import Pacing
from harness.client.limits.knee.plateau import Plateau
from harness.client.limits.knee.reported_queue import ReportedQueue
from harness.client.limits.knee.start import Start
from harness.client.limits.knee.timetable import Timetable
from harness.client.limits.knee.tolerance import Shares, Tolerance
from harness.client.limits.knee.unanswered import Unanswered
from harness.client.limits.knee.window import Window, WindowResult
from harness.client.types import Sample

Phase = Literal["start", "rest", "drain"]

# The share of the limit that waits at most, where few are wanted to wait.
FEW_SHARE = 0.33


@dataclass(frozen=True)
class Seek:
    """The queue of own attempts at the server, and its safety in standard errors.

    It is `least + root * sqrt(limit)`, but at least `few`, and that at most a third of the limit. With a queue that
    shrinks with the limit, the throughput of a client would go with the square of the delay that it sees, and so would
    its error.
    """

    least: float
    root: float
    safety: float
    few: float = 0.0

    def queue(self, limit: float) -> float:
        """Own attempts that are to wait at the server."""
        return max(self.least + self.root * math.sqrt(limit), min(self.few, FEW_SHARE * limit))


SEEK = {
    "latency": Seek(0.2, 0.1, 0.0),
    "balanced": Seek(0.0, 0.4, 1.0, few=1.0),
    "throughput": Seek(1.0, 1.0, 2.0),
}

# For a while after a refusal, and always once refusals have lowered the limit, the rate is at most this multiple of the
# expected one, so that no burst is sent.
BURST = 1.5
# Mean service time over the mean of its wide quantiles, for times that vary.
MEAN_OVER_WIDE = 1.3
# Between these limits an attempt more or less matters: the limit alternates, and so has the wanted mean.
ALTERNATES = (3.0, 16.0)
# Assumed before the first measurement.
LATENCY_S = 0.1

# So many older attempts ended, and that share of the limit, before a new one was accepted: the server was not full.
FREED_MIN, FREED_SHARE = 6, 0.5
# If it was refused with fewer in flight than this share of the limit, as in a drain: so many of these, and the same
# share of them.
BELOW, FREED_MIN_BELOW = 0.75, 3
# A server that is merely full gives at least this share of the places to new ones before it refuses again.
TAKEN_SHARE = 0.5
# Successes to await, and as a share of the limit.
SUCCESSES_MIN, SUCCESSES_SHARE = 4, 0.33


@dataclass
class BeforeFailures:
    """The state before the first failure, kept until it is known whether the server was full or accepted nothing."""

    at: float
    # Of the first attempt that failed.
    in_flight: int
    wanted: float
    phase: Phase
    ceiling: Ceiling
    pacing: Pacing | None
    rate_per_s: float
    # When attempts that were sent before it succeeded.
    freed: list[float] = field(default_factory=list)
    # Successes of attempts that were sent after it, and when the first of these was sent.
    successes: int = 0
    first_sent: float = math.inf
    # When the last ones were refused.
    refused: deque[float] = field(default_factory=deque)

    def had_room(self, sample: Sample) -> bool:
        """Count a success. True if the server had room and accepted nothing for a while.

        A server that is merely full accepts an attempt for each one that ends. The first that it accepts need not be
        the first to return, so some are awaited.
        """
        if sample.sent <= self.at:
            self.freed.append(sample.done)
            return False
        self.successes += 1
        self.first_sent = min(self.first_sent, sample.sent)
        free = sum(freed <= self.first_sent for freed in self.freed)
        return self.is_over and free >= self._freed_min

    def failed(self, refused: Sample) -> bool:
        """Take a later failure into account. True if the places of older attempts that ended are not given to new ones.

        In flight when a refused attempt was sent were those that the server had accepted (older ones that are left, and
        new ones), and those that were refused while it was under way.
        """
        if refused.sent <= self.at:
            # Of a burst, the first was refused with as many in flight as the server takes.
            self.in_flight = min(self.in_flight, refused.in_flight)
            return False
        while self.refused and self.refused[0] < refused.sent:
            self.refused.popleft()
        accepted, freed = refused.in_flight - len(self.refused), len(self.freed)
        self.refused.append(refused.done)
        return not self.successes and freed >= FREED_MIN and accepted <= self.in_flight - TAKEN_SHARE * freed

    @property
    def _freed_min(self) -> float:
        """Older attempts that end before a new one is accepted, if the server is not merely full.

        In a drain fewer are under way, and even fewer suffice: the server took more than these before.
        """
        below = self.in_flight < BELOW * self.wanted
        least, share_of = (FREED_MIN_BELOW, self.in_flight) if below else (FREED_MIN, self.wanted)
        return max(min(least, self.in_flight - 1), FREED_SHARE * share_of)

    @property
    def is_over(self) -> bool:
        """Whether enough attempts were accepted again to decide."""
        return self.successes >= max(SUCCESSES_MIN, SUCCESSES_SHARE * self.wanted)


class Search:
    """The measurements of the server, the present limit, and the moves between limits."""

    __slots__ = (
        *("base", "before_failures", "begin", "cause", "ceiling", "changes", "done", "drain", "fraction", "grow_to"),
        *("grown", "knee", "last", "latency_s", "maximum", "minimum", "more", "outage", "own_knee", "pacing", "phase"),
        *("plateau", "rate_per_s", "regain", "reported_queue", "seek", "shares", "timetable", "tolerance"),
        *("deferred", "unanswered", "unpaced", "value", "wanted", "window"),
    )

    def __init__(self, initial: int, minimum: int, maximum: int, seek: Seek) -> None:
        self.minimum, self.maximum, self.seek = minimum, maximum, seek
        self.value = max(minimum, min(maximum, initial))
        # Where it rests; drains and looks at more leave it for a while.
        self.wanted = float(self.value)
        # Of an attempt, that the limits until now were lower than wanted.
        self.fraction = 0.0
        self.changes = 0
        self.cause: Cause = Cause.start
        self.rate_per_s = math.inf
        self.phase: Phase = "start"
        self.begin = Start()
        self.base = Base()
        self.drain: Drain | None = None
        # The limit is raised after a drain.
        self.more = False
        self.own_knee = OwnKnee()
        self.plateau = Plateau()
        # The last estimate, with its safety; 0: none.
        self.knee = 0.0
        # Growth ends here until the next drain, as service times are known only for the limits near it.
        self.grow_to = math.inf
        # Windows in a row without a queue.
        self.grown = 0
        # The limit before it became much smaller, which may be regained quickly.
        self.regain = 0.0
        # Mean latency at rest.
        self.latency_s = LATENCY_S
        # When the last window at rest ended, and its measurement; None: there was none.
        self.last: tuple[float, WindowResult] | None = None
        self.window = Window(self.value, math.nan)
        self.timetable = Timetable()
        self.ceiling = Ceiling()
        self.deferred = Deferred()
        # The last successes.
        self.done: deque[float] = deque(maxlen=80)
        # Set while the server limits a rate, with the number of successive responses that were bounded by the number
        # in flight and not by the pace.
        self.pacing: Pacing | None = None
        self.unpaced = 0
        self.outage = Outage()
        self.tolerance = Tolerance()
        self.shares = Shares()
        self.unanswered = Unanswered()
        self.reported_queue = ReportedQueue()
        self.before_failures: BeforeFailures | None = None

    @property
    def service_s(self) -> float:
        """Latency without a queue, as far as it is known."""
        known = self.base.known or self.begin.fastest
        service_s = math.inf if known is None else MEAN_OVER_WIDE * known.wide_s
        return min(self.latency_s, service_s)

    def bound_bursts(self, value: int) -> None:
        """Bound the rate at a limit, unless there is a pace."""
        if self.pacing is None:
            self.rate_per_s = BURST * value / self.service_s if self.ceiling.met else math.inf

    def move(self, wanted: float, cause: Cause, now: float, probe: bool = False, settled: float = 0.0) -> None:
        """Change the limit. A `probe` returns from there. Measurements begin after `settled` latencies."""
        wanted = max(float(self.minimum), min(float(self.maximum), wanted, self.ceiling.top(now)))
        if not probe:
            self.wanted = wanted
        value = max(self.minimum, math.floor(wanted + 1e-9))
        if not probe and self.phase == "rest" and ALTERNATES[0] <= wanted < ALTERNATES[1]:
            self.fraction = max(-1.0, min(1.0, self.fraction + wanted - value))
            if self.fraction >= 0.5:
                value, self.fraction = value + 1, self.fraction - 1.0
        self.bound_bursts(max(value, self.value))
        if value != self.value:
            self.value = value
            self.changes += 1
            self.cause = cause
        self.measure(now + settled * self.latency_s)

    def measure(self, begins: float) -> None:
        """Begin a new window."""
        self.ceiling.clear()
        self.window = Window(self.value, begins)

    def rest(self, now: float) -> None:
        """End the start, or a drain that failed."""
        self.phase = "rest"
        self.drain, self.more = None, False
        self.timetable.earlier(now, self.service_s, self.latency_s)

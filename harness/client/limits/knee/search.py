"""The state of the search for the knee, and the moves that all phases share."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from harness.client.cause import Cause
from harness.client.limits.knee.block import Block
from harness.client.limits.knee.ceiling import Ceiling
from harness.client.limits.knee.curve import Curve
from harness.client.limits.knee.outage import Outage
from harness.client.limits.knee.pacing import Pacing
from harness.client.limits.knee.timetable import Timetable
from harness.client.limits.knee.told import Told
from harness.client.limits.knee.tolerance import Tolerance
from harness.client.types import Sample

Phase = Literal["start", "rest", "fewer", "more"]


@dataclass(frozen=True)
class Seek:
    """Where to rest: between two quantiles of the knee, beginning at a third, with a standing queue."""

    low: float
    begin: float
    high: float
    # Attempts that may wait at the server, in units of sqrt(knee).
    queue: float


SEEK = {
    "latency": Seek(0.2, 0.4, 0.5, 0.25),
    "balanced": Seek(0.3, 0.6, 0.7, 0.5),
    "throughput": Seek(0.5, 0.8, 0.9, 1.0),
}

# The least number of responses in a block of the start, of a probe, and at rest.
START_MIN, PROBE_MIN, REST_MIN = 8, 24, 32
LEAST: dict[Phase, int] = {"start": START_MIN, "rest": REST_MIN, "fewer": PROBE_MIN, "more": PROBE_MIN}
# Share of a limit below which a knee is behind it.
BEHIND = 0.75
# Probe again soon if the 80 % quantile of the knee is more than this multiple of the 20 % quantile.
WIDE_RATIO = 1.7
# Once an attempt was refused, bound the rate at this multiple of the expected rate, so that no burst is sent.
BURST = 1.5

# So many older attempts ended, and that share of the limit, before a new one was accepted: the server was not full.
FREED_MIN, FREED_SHARE = 8, 0.5
# Successes to await, and as a share of the limit.
SUCCESSES_MIN, SUCCESSES_SHARE = 4, 0.33


@dataclass
class BeforeFailures:
    """The state before the first failure, kept until it is known whether the server was full or accepted nothing."""

    at: float
    wanted: float
    phase: Phase
    calibrated: bool
    ceiling: Ceiling
    pacing: Pacing | None
    rate_per_s: float
    # When attempts that were sent before it succeeded.
    freed: list[float] = field(default_factory=list)
    # Successes of attempts that were sent after it, and when the first of these was sent.
    successes: int = 0
    first_sent: float = math.inf

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
        return self.is_over and free >= max(FREED_MIN, FREED_SHARE * self.wanted)

    @property
    def is_over(self) -> bool:
        """Whether enough attempts were accepted again to decide."""
        return self.successes >= max(SUCCESSES_MIN, SUCCESSES_SHARE * self.wanted)


class Search:
    """The measurements of the server, the present limit, and the moves between limits."""

    __slots__ = (
        *("base_s", "before_failures", "block", "calibrated", "cause", "ceiling", "changes", "curve", "done"),
        *("drained_from", "maximum", "minimum", "news", "outage", "pacing", "phase", "probing_since", "rate_per_s"),
        *("reference", "seek", "surprised", "timetable", "told", "tolerance", "unpaced", "value", "wanted"),
    )

    def __init__(self, initial: int, minimum: int, maximum: int, seek: Seek) -> None:
        self.minimum, self.maximum, self.seek = minimum, maximum, seek
        self.value = max(minimum, min(maximum, initial))
        # Where it rests; a probe leaves it for a while.
        self.wanted = float(self.value)
        self.changes = 0
        self.cause: Cause = Cause.start
        self.rate_per_s = math.inf
        self.phase: Phase = "start"
        self.curve = Curve()
        self.ceiling = Ceiling()
        self.timetable = Timetable()
        self.block = Block.at_once(self.value, START_MIN, math.nan, 0)
        # The last successes.
        self.done: deque[float] = deque(maxlen=80)
        # Set while the server limits a rate, with the number of successive responses that were bounded by the number
        # in flight and not by the pace.
        self.pacing: Pacing | None = None
        self.unpaced = 0
        self.outage = Outage()
        self.tolerance = Tolerance()
        self.told = Told()
        self.before_failures: BeforeFailures | None = None
        # The least base latency of recent probes.
        self.base_s = math.inf
        # The first probe after the start is done.
        self.calibrated = False
        # The last block at rest was much slower; a single one may be a passing stall.
        self.surprised = False
        # The limit from which it drained since the last probe; 0: it did not.
        self.drained_from = 0
        # The measurement to compare a probe with: limit, latency, standard error.
        self.reference = (0, 0.0, 1.0)
        self.probing_since = 0.0
        # The probe found something new.
        self.news = False

    def move(self, wanted: float, cause: Cause, now: float, probe: bool = False) -> None:
        """Change the limit and begin a new block; a `probe` returns from there, so the resting place stays."""
        wanted = max(float(self.minimum), min(float(self.maximum), wanted, self.ceiling.top(now)))
        if not probe:
            self.wanted = wanted
        value = max(self.minimum, math.floor(wanted + 1e-9))
        if self.pacing is None:
            rate_per_s = BURST * max(value, self.value) / self.curve.free(value)
            self.rate_per_s = rate_per_s if self.ceiling.met else math.inf
        before, self.value = self.value, value
        if value == before:
            self.measure_again(now)
            return
        self.changes += 1
        self.cause = cause
        self.ceiling.clear()
        if self.phase == "start":
            self.block = Block.at_once(value, START_MIN, now, min(before - 1, value))
        else:
            self.block = Block(value, LEAST[self.phase], value)

    def measure_again(self, now: float) -> None:
        """Begin a new block at the same limit, where no responses of another limit have to pass first."""
        self.ceiling.clear()
        self.block = Block(self.value, LEAST[self.phase], since=now)

    def settle(self, now: float, cause: Cause, begin: bool = False, most: float = math.inf) -> None:
        """Rest where it was, unless the curve excludes that; with `begin`, where the curve says."""
        seek, curve = self.seek, self.curve
        low, start, high = (self.with_queue(curve.quantile(share)) for share in (seek.low, seek.begin, seek.high))
        wanted = start if begin else max(low, min(high, self.wanted))
        self.phase = "rest"
        self.move(min(wanted, most), cause, now)

    def with_queue(self, knee: float) -> float:
        """A knee and the standing queue."""
        return knee + self.seek.queue * math.sqrt(knee)

    def latency_alone_s(self, value: float) -> float:
        """Latency at a limit without other clients: the least base of recent probes, with the slope of the curve."""
        return min(1.0, self.base_s / self.curve.free(1)) * self.curve.free(value)

    def schedule_probe(self, now: float) -> None:
        """Probe at the usual interval after news or while the knee is uncertain, else after twice as long."""
        plan = self.timetable.first if self.news or self._uncertain() else self.timetable.later
        plan(now, self.curve.free(self.value))

    def _uncertain(self) -> bool:
        """Whether the knee may be far from its estimate and no recent refusal forbids a probe."""
        wide = self.curve.quantile(0.8) > WIDE_RATIO * self.curve.quantile(0.2)
        return wide and self.wanted < BEHIND * self.ceiling.at

"""The loads of a calibration, one after another, each of which may change the next. At most five minutes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from harness.base import units
from harness.client.transport.open_files import limits
from harness.experiment.file_limit import RESERVE
from harness.fitting.bench import Batch, Bench
from harness.fitting.fit_loads import Lengths, Load
from harness.fitting.seen import Floats, Seen
from harness.measure.result import Reason

LEVELS = (2, 4, 8, 16, 32)
BURST = 512
WARM_S = 2.0
WARM_WINDOWS_MAX = 10
AGREE = 0.05
"""Windows agree if their median latencies differ by less."""
DRIFT_MAX = 0.03
TRIES = 2
"""A load with an invalid verdict is played once more."""
_BURST_S = 20.0
"""A burst has no more requests than the server answers in this time."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """Lengths and times of a calibration."""

    low: int = 6
    high: int = 230
    idle_s: float = 25.0
    level_s: float = 15.0
    items: int = 2500
    seed: int = 1
    # After this time no load is repeated.
    time_s: float = 300.0
    # Loads with other random numbers than those before.
    lengths: str = "levels"

    @property
    def mixed(self) -> Lengths:
        """Six lengths."""
        return Lengths(self.lengths, self.low, self.high)

    @property
    def one(self) -> Lengths:
        """One length in the middle."""
        return Lengths.constant(round((self.low * self.high) ** 0.5))


@dataclass
class Calibration:
    """The records of a calibration, and its problems."""

    plan: Plan
    idle: Seen | None = None
    closed: list[Seen] = field(default_factory=list)
    burst: Seen | None = None
    arrivals: Seen | None = None
    loads: dict[str, Load] = field(default_factory=dict)
    idle_again: Seen | None = None
    # By load, what the server says of its batches; empty for a black box.
    batches: dict[str, list[Batch]] = field(default_factory=dict)
    # Retry-After of refusals, as far as they had one.
    retry_after_s: list[float | None] = field(default_factory=list)
    queue_s: float = 0.0  # of a request alone, as the server says
    settled: bool = False
    problems: list[Reason] = field(default_factory=list)

    @property
    def all(self) -> list[Seen]:
        """Every load that was played after the warm-up."""
        found = [self.idle, *self.closed, self.burst, self.arrivals, self.idle_again]
        return [one for one in found if one is not None]

    @property
    def drift(self) -> float:
        """How much slower the server was at the end than at the beginning, as a share."""
        before, after = self._lone_ratios()
        if not len(before) or not len(after):
            return 0.0
        return float(np.median(after) / np.median(before) - 1)

    @property
    def drift_noise(self) -> float:
        """The standard error of the drift, from the scatter of the idle latencies."""
        parts = self._lone_ratios()
        if not all(map(len, parts)):
            return 0.0
        return 1.2533 * float(np.sqrt(sum(part.var() / len(part) for part in parts)))

    def _lone_ratios(self) -> tuple[Floats, Floats]:
        """Of the answers to lone requests at the beginning and at the end. A refusal takes no service time."""
        if self.idle is None or self.idle_again is None:
            return np.empty(0), np.empty(0)
        return _ratios(self.idle.part(self.idle.ok), self.idle_again.part(self.idle_again.ok))


def _ratios(one: Seen, other: Seen) -> tuple[Floats, Floats]:
    """The latencies of both loads over the median of their length in both."""
    lengths = [np.array([shape.longest for shape in seen.shapes]) for seen in (one, other)]
    everything = np.concatenate([one.latency, other.latency])
    known = np.concatenate(lengths)
    typical = {length: float(np.median(everything[known == length])) for length in np.unique(known)}
    both = [
        seen.latency / np.array([typical[length] for length in of])
        for seen, of in zip((one, other), lengths, strict=True)
    ]
    return both[0], both[1]


class Calibrating:
    """Plays the loads."""

    def __init__(self, bench: Bench, plan: Plan, say: Say, white_box: bool = False) -> None:
        self._bench = bench
        self._white_box = white_box
        self._plan = plan
        self._say = say
        self._found = Calibration(plan)
        self._began = time.monotonic()
        self._played = 0

    def run(self) -> Calibration:
        """All of them. Raises KeyboardInterrupt."""
        found, plan = self._found, self._plan
        warm = self._warm()
        if not warm.ok.any() and not warm.refused.any():
            # A server that hangs, fails or refuses the key gets no further load.
            found.idle = warm
            return found
        if self._white_box:
            found.queue_s = self._bench.queue_s(plan.mixed)
            # Those of the warm-up and of the stamps belong to no load.
            self._bench.batches()
        found.idle = self._play("idle", plan.mixed, 1, plan.idle_s)
        if not found.idle.ok.any():
            # Nothing can be fitted to a server that does not answer even one request at a time.
            return found
        refused = bool(found.idle.refused.any())
        for level in LEVELS:
            if refused:
                break
            found.closed.append(self._play(f"in flight {level}", plan.mixed, level, plan.level_s))
            refused = bool(found.closed[-1].refused.any())
        if not refused:
            found.closed.append(self._play("in flight 16, one length", plan.one, 16, plan.level_s * 2 / 3))
        found.burst = self._burst()
        if refused or found.burst.refused.any():
            found.arrivals = self._arrivals()
            self._say("Retry-After of refusals")
            found.retry_after_s = self._bench.retry_after_s(plan.mixed, len(found.burst))
        found.idle_again = self._play("idle again", plan.mixed, 1, plan.idle_s / 2)
        return found

    def _warm(self) -> Seen:
        """Load until three windows agree, or nothing is answered, or the time is over; the last window."""
        medians: list[float] = []
        for window in range(WARM_WINDOWS_MAX):
            seen = self._play(f"warm-up {window + 1}", self._plan.mixed, 2, WARM_S, counts=False)
            medians.append(float(np.median(seen.latency[seen.ok])) if seen.ok.any() else np.nan)
            over = time.monotonic() - self._began > self._plan.time_s
            if over or not (seen.ok.any() or seen.refused.any()):
                break
            last = medians[-3:]
            if len(last) == 3 and max(last) <= min(last) * (1 + AGREE):
                self._found.settled = True
                break
        return seen

    def _burst(self) -> Seen:
        answered = max(self._rate(seen) for seen in self._found.all)
        most = min(BURST, limits()[1] - RESERVE)
        size = int(max(2, min(most, max(64, answered * _BURST_S))))
        return self._play(f"burst of {size}", self._plan.mixed, size, self._plan.level_s * 4, items=size)

    def _arrivals(self) -> Seen:
        """Arrivals above the rate that the server has answered so far."""
        answered = max(self._rate(seen.before_refusals()) for seen in self._found.all)
        # A server may refuse the first request of each load.
        rate = 1.5 * (answered or max(self._rate(seen) for seen in self._found.all))
        load = Load(f"arrivals at {units.rate(rate)}", self._plan.mixed, rate_per_s=rate, seconds=self._plan.level_s)
        return self._played_well(load)

    @staticmethod
    def _rate(seen: Seen) -> float:
        taken = seen.part(seen.ok)
        return len(taken) / float(np.max(taken.done) - np.min(taken.sent)) if len(taken) else 0.0

    def _play(
        self, name: str, lengths: Lengths, level: int, seconds: float, items: int | None = None, counts: bool = True
    ) -> Seen:
        self._played += 1
        load = Load(
            name, lengths, level, seconds=seconds, items=items or self._plan.items,
            seed=self._plan.seed * 1000 + self._played,
        )  # fmt: skip
        return self._played_well(load, counts)

    def _played_well(self, load: Load, counts: bool = True) -> Seen:
        """Play a load, once more if its verdict is invalid; the second verdict is kept."""
        reasons: list[Reason] = []
        for turn in range(TRIES):
            name = load.name if not turn else f"{load.name}, again"
            if turn and time.monotonic() - self._began + load.seconds > self._plan.time_s:
                break
            self._say(f"{name}, up to {units.seconds(load.seconds)}")
            seen, reasons = self._bench.play(replace(load, name=name))
            if counts and (batches := self._bench.batches() if self._white_box else []):
                self._found.batches[name] = batches
            if counts:
                self._found.loads[name] = replace(load, name=name)
            if not reasons or not counts:
                return seen
        self._found.problems += reasons
        return seen

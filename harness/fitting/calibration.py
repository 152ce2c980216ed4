"""The loads of a calibration, one after another, each of which may change the next. At most five minutes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from harness.base import units
from harness.client.transport.open_files import limits
from harness.experiment.file_limit import RESERVE
from harness.fitting.bench import Batch, Bench, Policy
from harness.fitting.fit_loads import FitLoad, WordLengths
from harness.fitting.seen import Floats, Seen
from harness.measure.result import Reason

LEVELS = (2, 4, 8, 16, 32)
BURST = 512
WARM_S = 2.0
WARM_WINDOWS_MAX = 10
_WARM_SHARE = 0.25
"""The warm-up takes at most this share of the time, but three windows."""
_SECONDS_MIN = 1.0
"""A load takes at least so long, also where the time is nearly over."""
FAILURES_MAX = 0.02
"""After a load of which a larger share failed there is no other."""
AGREE = 0.05
"""Windows agree if their median latencies differ by less."""
DRIFT_MAX = 0.03
TRIES = 2
"""A load with an invalid verdict is played once more."""
_LOADS = len(LEVELS) + 4
"""Loads after the warm-up."""
_ONE_SHARE, _BURST_SHARE = 2 / 3, 4.0
"""Times of the load with one length and of the burst, in times of the other loads."""
_BURST_S = 20.0
"""A burst has no more requests than the server answers in this time."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class CalibrationPlan:
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
    def seconds(self) -> float:
        """Of all loads after the warm-up, of a server that refuses nothing."""
        return self.idle_s * 1.5 + self.level_s * (len(LEVELS) + _ONE_SHARE + _BURST_SHARE)

    @property
    def mixed(self) -> WordLengths:
        """Six lengths."""
        return WordLengths(self.lengths, self.low, self.high)

    @property
    def one(self) -> WordLengths:
        """One length in the middle."""
        return WordLengths.constant(round((self.low * self.high) ** 0.5))


@dataclass
class Calibration:
    """The records of a calibration, and its problems."""

    plan: CalibrationPlan
    idle: Seen | None = None
    closed: list[Seen] = field(default_factory=list)
    burst: Seen | None = None
    arrivals: Seen | None = None
    loads: dict[str, FitLoad] = field(default_factory=dict)
    idle_again: Seen | None = None
    # By load, what the server says of its batches; empty for a black box.
    batches: dict[str, list[Batch]] = field(default_factory=dict)
    policy: Policy | None = None  # of a server that reports it
    # Retry-After of refusals, as far as they had one.
    retry_after_s: list[float | None] = field(default_factory=list)
    queue_s: float = 0.0  # of a request alone, as the server says
    pause_s: float = math.inf  # between the arrivals and the load before, at most; a mock in virtual time begins afresh
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

    def _lone_ratios(self) -> list[Floats]:
        """Of the answers to lone requests at the beginning and at the end. A refusal takes no service time."""
        if self.idle is None or self.idle_again is None:
            return [np.empty(0), np.empty(0)]
        return _ratios([self.idle.part(self.idle.ok), self.idle_again.part(self.idle_again.ok)])


def _ratios(loads: Sequence[Seen]) -> list[Floats]:
    """The latencies of each load over the median of their length in all of them: loads differ in their lengths."""
    lengths = [np.array([shape.longest for shape in seen.shapes]) for seen in loads]
    everything = np.concatenate([seen.latency for seen in loads])
    known = np.concatenate(lengths)
    typical = {length: float(np.median(everything[known == length])) for length in np.unique(known)}
    return [
        seen.latency / np.array([typical[length] for length in of]) for seen, of in zip(loads, lengths, strict=True)
    ]


class Calibrating:
    """Plays the loads."""

    def __init__(
        self,
        bench: Bench,
        plan: CalibrationPlan,
        say: Say,
        white_box: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bench = bench
        self._white_box = white_box
        self._plan = plan
        self._say = say
        self._found = Calibration(plan)
        self._clock = clock
        self._began = clock()
        self._played = 0
        # Seconds of the loads that are still to come, and what loads took beside their time so far.
        self._to_come = plan.seconds
        self._beside_s: list[float] = []

    def run(self) -> Calibration:
        """All of them, or those up to the first that fails. Raises KeyboardInterrupt."""
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
        # Nothing can be fitted to a server that does not answer even one request at a time.
        if found.idle.ok.any() and not self._failed() and self._levels():
            found.idle_again = self._play("idle again", plan.mixed, 1, plan.idle_s / 2)
        return found

    def _levels(self) -> bool:
        """The loads with several requests in flight; False if one of them failed, and then the rest are left out."""
        found, plan = self._found, self._plan
        assert found.idle is not None  # noqa: S101 - it was played first
        refused = bool(found.idle.refused.any())
        loads = [(f"in flight {level}", plan.mixed, level, plan.level_s) for level in LEVELS]
        for name, lengths, level, seconds in [
            *loads, ("in flight 16, one length", plan.one, 16, plan.level_s * _ONE_SHARE)
        ]:  # fmt: skip
            if refused:
                break
            found.closed.append(self._play(name, lengths, level, seconds))
            refused = bool(found.closed[-1].refused.any())
            if self._failed():
                return False
        found.burst = self._burst()
        if not self._failed() and (refused or found.burst.refused.any()):
            found.arrivals = self._arrivals()
            self._say("Retry-After of refusals")
            found.retry_after_s = self._bench.retry_after_s(plan.mixed, len(found.burst))
        return not self._failed()

    def _failed(self) -> bool:
        """Whether the last load failed other than by refusals: no fit is possible, and the server may be gone."""
        return self._found.all[-1].failed > FAILURES_MAX

    def _warm(self) -> Seen:
        """Load until three windows agree, or nothing is answered, or the time is over; the last window."""
        windows: list[Seen] = []
        for window in range(WARM_WINDOWS_MAX):
            seen = self._play(f"warm-up {window + 1}", self._plan.mixed, 2, WARM_S, counts=False)
            if not (seen.ok.any() or seen.refused.any()):
                break
            windows.append(seen.part(seen.ok))
            last = windows[-3:]
            if len(last) == 3 and all(map(len, last)):
                medians = [float(np.median(ratios)) for ratios in _ratios(last)]
                self._found.settled = max(medians) <= min(medians) * (1 + AGREE)
            over = len(last) == 3 and self._clock() - self._began > self._plan.time_s * _WARM_SHARE
            if over or self._found.settled:
                break
        return seen

    def _burst(self) -> Seen:
        answered = max(self._rate(seen) for seen in self._found.all)
        most = min(BURST, limits()[1] - RESERVE)
        size = int(max(2, min(most, max(64, answered * _BURST_S))))
        return self._play(f"burst of {size}", self._plan.mixed, size, self._plan.level_s * _BURST_SHARE, items=size)

    def _arrivals(self) -> Seen:
        """Arrivals above the rate that the server has answered so far."""
        answered = max(self._rate(seen.before_refusals()) for seen in self._found.all)
        # A server may refuse the first request of each load.
        rate = 1.5 * (answered or max(self._rate(seen) for seen in self._found.all))
        load = FitLoad(f"arrivals at {units.rate(rate)}", self._plan.mixed, rate_per_s=rate, seconds=self._plan.level_s)
        seen = self._played_well(load)
        if not self._bench.begins_afresh:
            self._found.pause_s = sum(self._beside_s[-2:])
        return seen

    @staticmethod
    def _rate(seen: Seen) -> float:
        taken = seen.part(seen.ok)
        return len(taken) / float(np.max(taken.done) - np.min(taken.sent)) if len(taken) else 0.0

    def _play(
        self, name: str, lengths: WordLengths, level: int, seconds: float, items: int | None = None, counts: bool = True
    ) -> Seen:
        self._played += 1
        load = FitLoad(
            name, lengths, level, seconds=seconds, items=items or self._plan.items,
            seed=self._plan.seed * 1000 + self._played,
        )  # fmt: skip
        return self._played_well(load, counts)

    def _played_well(self, load: FitLoad, counts: bool = True) -> Seen:
        """Play a load, once more if its verdict is invalid; the second verdict is kept."""
        reasons: list[Reason] = []
        for turn in range(TRIES):
            name = load.name if not turn else f"{load.name}, again"
            if turn and self._left_s() < load.seconds:
                break
            seconds = self._seconds(load) if counts else load.seconds
            self._say(f"{name}, up to {units.seconds(seconds)}")
            seen, reasons = self._timed(replace(load, name=name, seconds=seconds))
            if counts and (batches := self._bench.batches() if self._white_box else []):
                self._found.batches[name] = batches
                self._found.policy = self._bench.policy
            if counts:
                self._found.loads[name] = replace(load, name=name, seconds=seconds)
            if not reasons or not counts:
                break
        self._to_come -= load.seconds if counts else 0.0
        self._found.problems += reasons if counts else []
        return seen

    def _timed(self, load: FitLoad) -> tuple[Seen, list[Reason]]:
        """Play a load, and note what it took beside its time: the start of a client, the reading of its records."""
        began = self._clock()
        seen, reasons = self._bench.play(load)
        took = float(np.nanmax(seen.done) - np.nanmin(seen.sent)) if seen.ok.any() else 0.0
        self._beside_s.append(max(0.0, self._clock() - began - took))
        return seen, reasons

    def _left_s(self) -> float:
        return self._plan.time_s - (self._clock() - self._began)

    def _seconds(self, load: FitLoad) -> float:
        """The time of a load, shorter if the loads to come would take longer than the time that is left."""
        beside = _LOADS * float(np.median(self._beside_s)) * self._to_come / self._plan.seconds
        share = (self._left_s() - beside) / max(self._to_come, load.seconds)
        return min(load.seconds, max(_SECONDS_MIN, load.seconds * share))

"""Netflix's Vegas: the queue is estimated from the least latency ever seen, sample by sample.

Source: concurrency-limits, VegasLimit, at its defaults. Kept as a baseline: on latencies that vary it holds the rare
quick answer for the base latency and stays far below the knee.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from harness.client.checks import between
from harness.client.types import Outcome, Sample

DROPS = frozenset({Outcome.rejected, Outcome.timed_out})


@dataclass
class Vegas:
    """Grows while few wait at the server, shrinks while many do; both by the least latency seen (a known baseline).

    Args:
        initial: Attempts in flight at the start. Default 20.
        maximum: Upper bound of the limit, in attempts. Default 1000.
        seed: Seed of the instants at which the least latency is measured again. Default 0.
    """

    initial: int = 20
    maximum: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        between(self, 1, 1_000_000, "initial", "maximum")
        self._limit = float(min(self.initial, self.maximum))
        self._least_s = math.inf
        self._rng = random.Random(self.seed)
        self._seen = 0
        self._jitter = self._rng.uniform(0.5, 1.0)

    @property
    def value(self) -> int:
        """Attempts allowed in flight, now."""
        return int(self._limit)

    def update(self, sample: Sample, /) -> None:
        """Learn from one attempt."""
        step = max(1.0, math.log10(self._limit))
        if sample.outcome in DROPS:
            self._move(-step)
            return
        if sample.outcome is not Outcome.ok or sample.latency_s <= 0:
            return
        self._seen += 1
        if self._seen >= self._jitter * 30 * self._limit:
            self._seen, self._jitter = 0, self._rng.uniform(0.5, 1.0)
            self._least_s = sample.latency_s
            return
        if sample.latency_s < self._least_s:
            self._least_s = sample.latency_s
            return
        if 2 * sample.in_flight < self._limit:
            return
        queue = math.ceil(self._limit * (1 - self._least_s / sample.latency_s))
        if queue <= step:
            self._move(6 * step)
        elif queue < 3 * step:
            self._move(step)
        elif queue > 6 * step:
            self._move(-step)

    def _move(self, by: float) -> None:
        self._limit = max(1.0, min(float(self.maximum), self._limit + by))

"""What is known of a server: the latency at every limit that was tried, and which knees explain it; pure.

Rules of this file
  1. One family of curves: up to the knee K latency is a (1 + k N / K), beyond it the same in proportion to N, as
     throughput is all used up. k = 0 is workers that do not disturb each other, above 0 a batch or contention.
  2. Every knee of a grid is weighed by how well its best curve explains what was measured (a Gaussian likelihood of
     the logarithms, cut off so that one wrong measurement does not decide; the knee is log-uniform beforehand). So a
     few noisy measurements give a wide answer, and nobody has to choose thresholds for "flat" and "steep".
  3. Measurements weigh less as they age. One that contradicts what was known of the same limit replaces it.
"""

from __future__ import annotations

import math
from bisect import bisect_right

GRID = [2.0 ** (step / 8) for step in range(137)]  # knees, 1 to 131,072
STEEPNESS = ((0.0, 0.0), (0.5, -0.5), (1.0, -1.0), (2.0, -2.0), (4.0, -3.0))  # k, and the log of its weight beforehand
SURPRISE_MAX = 9.0  # of one measurement, in squared standard errors
MODEL_ERROR = 0.05  # no server is quite like a curve
NOISE_MIN = 0.04
AGED = 0.7  # of the weight that was
STEEP_FROM = 4  # a smaller knee has no room for a slope


class Curve:
    """Measurements by limit, and the knees that explain them."""

    def __init__(self) -> None:
        self.seen: dict[int, tuple[float, float]] = {}  # limit: weight (1 / squared relative error), log of latency
        self._knees: list[tuple[float, float]] = []  # knee, probability
        self._best = (1.0, 0.0, math.log(1e-9))  # the likeliest: knee, k, log of a

    def add(self, value: int, mean_s: float, noise: float) -> None:
        """A measurement at a limit; `noise` is its standard error as a share."""
        noise = max(noise, NOISE_MIN)
        weight, log = noise**-2, math.log(mean_s)
        if value in self.seen:
            had, had_log = self.seen[value]
            if abs(log - had_log) <= 3 * math.hypot(noise, had**-0.5):
                log = (had * had_log + weight * log) / (had + weight)
                weight = min(had + weight, 2 * NOISE_MIN**-2)
        self.seen[value] = (weight, log)

    def only(self, most: float) -> None:
        """Forget all limits above this."""
        self.seen = {value: had for value, had in self.seen.items() if value <= most}

    def age(self) -> None:
        """What is old is less sure; what hardly counts is forgotten."""
        self.seen = {value: (AGED * weight, log) for value, (weight, log) in self.seen.items() if weight > 4}

    def fit(self) -> None:
        """Weigh the knees anew; there is at least one measurement."""
        seen = [
            (value, math.log(value), 1 / (1 / weight + MODEL_ERROR**2), log)
            for value, (weight, log) in self.seen.items()
        ]
        top = 2.02 * max(self.seen)
        found = [
            (*_explained(seen, knee, k, prior), knee, k)
            for knee in GRID[: bisect_right(GRID, top)]
            for k, prior in (STEEPNESS if knee >= STEEP_FROM else STEEPNESS[:1])
        ]
        best = max(found)
        total = sum(math.exp(one[0] - best[0]) for one in found)
        knees: dict[float, float] = {}
        for likelihood, _, knee, _ in found:
            knees[knee] = knees.get(knee, 0.0) + math.exp(likelihood - best[0]) / total
        self._knees = list(knees.items())
        self._best = (best[2], best[3], best[1])

    def below(self, value: float) -> float:
        """How probable a knee up to this is."""
        return sum(probability for knee, probability in self._knees if knee <= value)

    def quantile(self, share: float) -> float:
        """The knee that is not exceeded with this probability."""
        reached = 0.0
        for knee, probability in self._knees:
            reached += probability
            if reached >= share:
                return knee
        return self._knees[-1][0] if self._knees else 1.0

    def at(self, value: float) -> float:
        """The latency to expect at a limit, in seconds, with what waits there."""
        knee, _, _ = self._best
        return self.free(value) * max(1.0, value / knee)

    def free(self, value: float) -> float:
        """The part of it that is service."""
        knee, k, log = self._best
        return math.exp(log) * (1 + k * min(value, knee) / knee)


def _explained(seen: list[tuple[int, float, float, float]], knee: float, k: float, prior: float) -> tuple[float, float]:
    """Log-likelihood of the best curve with this knee and steepness, and the log of its a."""
    beyond = math.log((1 + k) / knee)
    shaped = [
        (w, log - (beyond + log_value if value > knee else math.log(1 + k * value / knee) if k else 0.0))
        for value, log_value, w, log in seen
    ]
    weight = total = 0.0
    for w, x in shaped:
        weight += w
        total += w * x
    base = total / weight
    if len(shaped) > 3:  # once more, with less of what does not fit
        weight = total = 0.0
        for w, x in shaped:
            robust = w / (1 + w * (x - base) ** 2 / SURPRISE_MAX)
            weight += robust
            total += robust * x
        base = total / weight
    surprise = 0.0
    for w, x in shaped:
        off = w * (x - base) ** 2
        surprise += off if off < SURPRISE_MAX else SURPRISE_MAX
    return prior - 0.5 * surprise, base

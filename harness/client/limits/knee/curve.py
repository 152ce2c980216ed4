"""Latency model: fits a knee-shaped curve to (limit, latency) measurements, with a probability for each knee; pure.

Rules of this file
  1. One family of curves: up to the knee K latency is a (1 + k N / K). Beyond it latency grows in proportion to N,
     because throughput is used up. k = 0 is workers that do not disturb each other; above 0, a batch or contention.
  2. Each knee of a grid is weighed by how well its best curve explains the measurements: a Gaussian likelihood of the
     logarithms, truncated so that one wrong measurement does not decide. The prior of the knee is log-uniform. So a few
     noisy measurements give a wide distribution, without thresholds for "flat" and "steep".
  3. Measurements lose weight as they age. A new one that contradicts an old one at the same limit replaces it.
"""

from __future__ import annotations

import math
from bisect import bisect_right

# Candidate knees, 1 to 131,072.
GRID = [2.0 ** (step / 8) for step in range(137)]
# Values of k, each with the logarithm of its prior.
STEEPNESS = ((0.0, 0.0), (0.5, -0.5), (1.0, -1.0), (2.0, -2.0), (4.0, -3.0))
# The largest misfit that counts for one measurement, in squared standard errors.
SURPRISE_MAX = 9.0
# No server follows a curve exactly.
MODEL_ERROR = 0.05
NOISE_MIN = 0.04
# Share of its weight that a measurement keeps when it ages.
AGED = 0.7
# A smaller knee has no room for a slope.
STEEP_FROM = 4


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

    def keep_up_to(self, most: float) -> None:
        """Forget the measurements above this limit."""
        self.seen = {value: had for value, had in self.seen.items() if value <= most}

    def age(self) -> None:
        """Reduce the weight of all measurements; forget those that hardly count."""
        self.seen = {value: (AGED * weight, log) for value, (weight, log) in self.seen.items() if weight > 4}

    def fit(self) -> None:
        """Compute the probabilities of the knees; there is at least one measurement."""
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
        """The probability of a knee at or below this."""
        return sum(probability for knee, probability in self._knees if knee <= value)

    def quantile(self, share: float) -> float:
        """The quantile of the knee."""
        reached = 0.0
        for knee, probability in self._knees:
            reached += probability
            if reached >= share:
                return knee
        return self._knees[-1][0] if self._knees else 1.0

    def at(self, value: float) -> float:
        """The expected latency at a limit, in seconds, queueing included."""
        knee, _, _ = self._best
        return self.free(value) * max(1.0, value / knee)

    def free(self, value: float) -> float:
        """The expected latency without queueing."""
        knee, k, log = self._best
        return math.exp(log) * (1 + k * min(value, knee) / knee)


def _explained(seen: list[tuple[int, float, float, float]], knee: float, k: float, prior: float) -> tuple[float, float]:
    """Log-likelihood of the best curve with this knee and k, and the logarithm of its a."""
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
    if len(shaped) > 3:  # a second pass that gives outliers less weight
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

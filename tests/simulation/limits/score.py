"""Scores a limit on a shape, beside the static limit with the best score.

Rules of this file
  1. score = efficiency x min(1, 2 / inflation) x Jain's index / (1 + refusals per success). The inflation is that of
     the p50 or the p99 latency, whichever is worse; the p99 is that after the first tenth of the run, as the start is
     judged by the efficiency. What is never answered counts as a refusal.
  2. The calm limit of a shape is the static one with the most power: successes over the median latency (Kleinrock's
     knee). Its latencies are what all others are compared with.
  3. The reference is the smallest static limit whose score is within 1 % of the best, with efficiency over the most
     successes of any. The efficiency of a limit that learns is over the successes of the reference. Where clients share
     a server, each has the static limit.
  4. Jain's index is that of the successes of the clients that are present, between one joining or leaving and the next,
     weighted by these times.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from harness.client.limits.fixed import Fixed
from tests.simulation.limits.run import Played, play
from tests.simulation.limits.server import Shape

GRID = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64, 80, 96, 128, 160, 200, 256)
NEAR = 0.99  # of the most successes, or of the best score: as good
INFLATION_FREE = 2.0
HOPELESS, HOPELESS_MIN = 3.0, 1000  # refusals per success of the best so far, and of none
START = 0.1  # of the run
TOO_LATE = 8.0  # times the latency of the calm limit
JUDGED_S = 1.0  # shorter times between a joining and a leaving are not judged for fairness


@dataclass(frozen=True)
class Reference:
    """A static limit, and its run with one seed."""

    limit: int
    ok: int
    p50_s: float
    p99_s: float
    base_s: float  # service time of one alone


@dataclass(frozen=True)
class Scores:
    """Figures of a run beside the reference."""

    efficiency: float
    p50: float = 1.0  # inflation over the reference
    p99: float = 1.0
    refusals: float = 0.0  # per success
    jain: float = 1.0
    least: float = 1.0  # share of the client that has least, over the fair share
    overshoot_start: float = 1.0  # most in the first fifth, over the reference
    overshoot_later: float = 1.0
    ninety_bases: float = 0.0  # service times of one alone, to 90 % of the best rate

    @property
    def score(self) -> float:
        """Between 0 and 1."""
        calm = min(1.0, INFLATION_FREE / max(self.p50, self.p99, 1e-9))
        return self.efficiency * calm * self.jain / (1.0 + self.refusals)


def scores(played: Played, shape: Shape, best: Reference) -> Scores:
    """Measure a run against the reference."""
    fifth = shape.duration_s / 5
    early = [value for at, value, _ in played.limits if at < fifth]
    late = [value for at, value, _ in played.limits if at >= fifth] or [early[-1]]
    jain, least = fairness(played, shape)
    return Scores(
        min(1.0, played.ok / max(1, best.ok)),
        played.p50_s / best.p50_s,
        played.quantile_s(0.99, START * shape.duration_s) / best.p99_s,
        played.refused / max(1, played.ok),
        jain,
        least,
        max(early) / best.limit,
        max(late) / best.limit,
        _ninety(played, shape, best),
    )


def fairness(played: Played, shape: Shape) -> tuple[float, float]:
    """(Jain's index, least share over the fair one), by rule 4; (1, 1) for one client alone."""
    spans = shape.presence()
    if len(spans) == 1:
        return 1.0, 1.0
    weighted = total_s = 0.0
    own, fair = Counter[int](), Counter[int]()
    for begin, end in pairwise(sorted({at for span in spans for at in span})):
        present = [k for k, (joined, left) in enumerate(spans) if joined <= begin and end <= left]
        if len(present) < 2 or end - begin < JUDGED_S:
            continue
        counts = Counter(played.owners[bisect_left(played.done, begin) : bisect_left(played.done, end)])
        shares = [counts[k] for k in present]
        weighted += (end - begin) * jain(shares)
        total_s += end - begin
        for k in present:
            own[k] += counts[k]
            fair[k] += fmean(shares)
    least = min((own[k] / of for k, of in fair.items() if of), default=1.0)
    return (weighted / total_s, least) if total_s else (1.0, 1.0)


def jain(shares: Iterable[float]) -> float:
    """Jain's index of fairness: 1 if all are equal, 1 / n if one has all; 1 if nobody has any."""
    values = list(shares)
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def swept(shape: Shape, seed: int, grid: Iterable[int] = GRID) -> dict[int, Played]:
    """The static limits of a grid, upwards, until the latency is far too high for a score.

    One that is refused far more often than answered ends early: it is not the best.
    """
    runs: dict[int, Played] = {}
    for limit in sorted(grid):
        refused_max = HOPELESS * (HOPELESS_MIN + max((run.ok for run in runs.values()), default=0))
        runs[limit] = play(shape, lambda limit=limit: Fixed(limit), seed, refused_max)  # type: ignore[misc]
        if runs[limit].p50_s > TOO_LATE * runs[calm(runs)].p50_s:
            break
    return runs


def calm(runs: Mapping[int, Played]) -> int:
    """The smallest static limit with nearly the most power."""
    power = {limit: run.ok / run.p50_s for limit, run in runs.items()}
    return min(limit for limit, value in power.items() if value >= NEAR * max(power.values()))


def static_scores(shape: Shape, runs: Mapping[int, Played], quiet: int) -> dict[int, float]:
    """The score of each static limit, beside the latencies of the calm one."""
    most, latencies = max(run.ok for run in runs.values()), runs[quiet]
    beside = Reference(quiet, most, latencies.p50_s, latencies.p99_s, shape.service_s)
    return {limit: scores(run, shape, beside).score for limit, run in runs.items()}


def best_of(scored: Mapping[int, float], near: float = NEAR) -> int:
    """The smallest static limit with nearly the best score."""
    return min(limit for limit, score in scored.items() if score >= near * max(scored.values()))


def beside_static(shape: Shape, run: Played, limit: int, quiet: Played) -> Reference:
    """A static limit as the reference, with the latencies of the calm one."""
    return Reference(limit, run.ok, quiet.p50_s, quiet.p99_s, shape.service_s)


def best_static(shape: Shape, runs: Mapping[int, Played], near: float = NEAR) -> Reference:
    """The best of these static limits."""
    quiet = calm(runs)
    limit = best_of(static_scores(shape, runs, quiet), near)
    return beside_static(shape, runs[limit], limit, runs[quiet])


def _ninety(played: Played, shape: Shape, best: Reference) -> float:
    """The first instant after which a window of max(50, 2 limits) successes came at 90 % of the best rate."""
    size, rate = max(50, 2 * best.limit), 0.9 * best.ok / shape.duration_s
    for i in range(len(played.done) - size):
        if size / max(1e-9, played.done[i + size] - played.done[i]) >= rate:
            return played.done[i] / best.base_s
    return math.inf

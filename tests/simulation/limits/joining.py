"""Eight clients by how fast they join, and how long after: `python -m tests.simulation.limits.joining [SEEDS]`.

Each cell is 10 s of the lean model, from some seconds after the last client joined: p50 over that of the fair share (a
static limit of the workers over the clients), Jain's index, and the least share. The first one joins at any instant
between two drains. Takes half a minute with 20 seeds.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean, median

from harness.client.limits.fixed import Fixed
from harness.client.limits.knee import Knee
from harness.client.types import Limit
from tests.simulation.limits.run import Played, play
from tests.simulation.limits.score import jain
from tests.simulation.limits.server import Shape

CLIENTS = 8
WORKERS = (16, 32)
APART_S = (1.0, 5.0)
AFTER_S = (2.5, 20.0)
SHARED_S = 10.0
DRAINS_S = 4.0  # between two instants at which all drain
SEEDS = range(3001, 3021)


@dataclass(frozen=True)
class Joining(Shape):
    """Clients that join at even intervals from `first_s` on, and stay."""

    first_s: float = 0.0

    def presence(self) -> list[tuple[float, float]]:
        """When each client joins and leaves."""
        return [(self.first_s + k * self.stagger_s, self.duration_s) for k in range(self.clients)]


def joining(workers: int, apart_s: float, seed: int) -> Joining:
    """A run that lasts until the end of the last cell."""
    first_s = Random(seed).uniform(0.0, DRAINS_S)
    duration_s = first_s + (CLIENTS - 1) * apart_s + AFTER_S[-1] + SHARED_S
    name = f"joining_{workers}_{apart_s:g}"
    return Joining(name, workers=workers, clients=CLIENTS, stagger_s=apart_s, duration_s=duration_s, first_s=first_s)


def shared(played: Played, begin: float) -> tuple[float, float, float]:
    """(Median latency, Jain's index, least share) of the 10 s from `begin` on."""
    part = slice(bisect_left(played.done, begin), bisect_left(played.done, begin + SHARED_S))
    counts = Counter(played.owners[part])
    shares = [counts[k] for k in range(CLIENTS)]
    return median(played.latencies[part]), jain(shares), min(shares) / fmean(shares)


def cells(workers: int, apart_s: float, seeds: Sequence[int]) -> Iterator[str]:
    """A cell for each time after the last join."""
    runs: list[list[tuple[float, float, float]]] = [[] for _ in AFTER_S]
    for seed in seeds:
        shape = joining(workers, apart_s, seed)
        last_s = shape.presence()[-1][0]
        limits: tuple[Callable[[], Limit], ...] = (Knee, lambda: Fixed(workers // CLIENTS))
        ours, fair = (play(shape, limit, seed) for limit in limits)
        for found, after_s in zip(runs, AFTER_S, strict=True):
            p50_s, index, least = shared(ours, last_s + after_s)
            found.append((p50_s / shared(fair, last_s + after_s)[0], index, least))
    for found in runs:
        p50, index, least = (fmean(values) for values in zip(*found, strict=True))
        yield f"{p50:.1f} / {index:.2f} / {least:.2f}"


def table(seeds: Sequence[int]) -> Iterator[str]:
    """A line a server, as soon as it is known."""
    heads = [f"{apart_s:g} s apart, after {after_s:g} s" for apart_s in APART_S for after_s in AFTER_S]
    yield f"| {CLIENTS} clients, exponential 0.1 s | {' | '.join(heads)} |"
    yield "|---" * (len(heads) + 1) + "|"
    for workers in WORKERS:
        found = [cell for apart_s in APART_S for cell in cells(workers, apart_s, seeds)]
        yield f"| {workers} workers | {' | '.join(found)} |"


if __name__ == "__main__":
    for line in table(SEEDS[: int(sys.argv[1])] if sys.argv[1:] else SEEDS):
        print(line, flush=True)

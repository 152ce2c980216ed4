"""How often a run is called unsettled: of steady queues by mistake, and of runs that really change.

    python -m tests.simulation.statistics.settling      # the table of docs/measuring.md

Every series is seeded. A steady queue is M/M/1 or M/M/5 in its steady state from the start.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import numpy as np

from harness.measure.reduce.warmup import cut

Array = np.ndarray[Any, np.dtype[Any]]
Series = tuple[Array, Array]
Make = Callable[[np.random.Generator], Series]
Scale = Callable[[Array], Array]

EXPERIMENTS = 300
BEFORE = 2_000
"""Requests before the first one that counts: by then a queue of 95 % load is in its steady state."""


def same(at: Array) -> Array:
    """Service times that do not change."""
    return np.ones(len(at))


def queue(
    workers: int, load: float, requests: int, rng: np.random.Generator, scale: Scale = same, before: int = 0
) -> Series:
    """Due and latency of Poisson arrivals at exponential workers; `scale` of the part 0 to 1 slows them down."""
    total = before + requests
    due = np.cumsum(rng.exponential(1 / (workers * 100 * load), total))
    service = rng.exponential(1 / 100, total)
    service[before:] *= scale(np.arange(requests) / requests)
    free, done = [0.0] * workers, np.empty(total)
    for at, (arrived, took) in enumerate(zip(due.tolist(), service.tolist(), strict=True)):
        done[at] = max(free[0], arrived) + took
        heapq.heapreplace(free, done[at])
    due, done = ((1e9 * (instants[before:] - due[before])).astype(np.int64) for instants in (due, done))
    return due, done - due


def steady(workers: int, load: float, requests: int) -> Make:
    """A queue in its steady state."""
    return lambda rng: queue(workers, load, requests, rng, before=BEFORE)


def overloaded(workers: int, load: float, requests: int) -> Make:
    """More arrives than is answered."""
    return lambda rng: queue(workers, load, requests, rng)


def slow_first(workers: int, load: float, requests: int, factor: float) -> Make:
    """Slower for two thirds of the run."""
    return lambda rng: queue(workers, load, requests, rng, lambda at: np.where(at < 0.67, factor, 1.0))


def independent(requests: int, factor: float) -> Make:
    """Lognormal latencies without a queue, longer for two thirds of the run."""

    def made(rng: np.random.Generator) -> Series:
        due = np.cumsum(rng.exponential(1e7, requests)).astype(np.int64)
        latency = rng.lognormal(0, 0.3, requests) * 1e7 * np.where(np.arange(requests) < 0.67 * requests, factor, 1.0)
        return due, latency.astype(np.int64)

    return made


def unsettled(make: Make, experiments: int = EXPERIMENTS, repeats: int = 1) -> float:
    """The share of experiments that are called unsettled."""
    rng = np.random.default_rng(11)
    found = [cut([make(rng) for _ in range(repeats)], 0).settled for _ in range(experiments)]
    return float(np.mean([one is False for one in found]))


STEADY = {f"M/M/{c} at {load:g}": (lambda n, c=c, load=load: steady(c, load, n)) for c in (1, 5) for load in (0.8, 0.9)}
CHANGING: dict[str, Callable[[int], Make]] = {
    "1.3 times overloaded, 1 worker": lambda n: overloaded(1, 1.3, n),
    "1.1 times overloaded, 5 workers": lambda n: overloaded(5, 1.1, n),
    "2 times slower for two thirds, no queue": lambda n: independent(n, 2.0),
    "1.3 times slower for two thirds, no queue": lambda n: independent(n, 1.3),
    "1.6 times slower for two thirds, M/M/1 at 0.5": lambda n: slow_first(1, 0.5, n, 1.6),
}
REQUESTS = (300, 600, 2_000)


def main() -> None:
    """A row for each law, the share for 1 and for 3 repeats of each length."""
    print("| run | " + " | ".join(f"{n:,}" for n in REQUESTS) + " |\n" + "|---" * (len(REQUESTS) + 1) + "|")
    for name, of in {**STEADY, **CHANGING}.items():
        shares = [[f"{100 * unsettled(of(n), repeats=repeats):.1f}" for repeats in (1, 3)] for n in REQUESTS]
        print(f"| {name} | " + " | ".join(f"{one} %, {three} %" for one, three in shares) + " |", flush=True)


if __name__ == "__main__":
    main()

"""Mean waits of simulated queues against theory.

    python -m tests.simulation.statistics.waits      # the table of docs/measuring.md, about two minutes

The mean wait of one run is a noisy figure: over 30,000 calls its standard error is 3 % of the mean for M/M/1 at half
load, and 9 % for M/M/5 at 0.8. So the tests take two steps. The simulator must give each request the wait of Kiefer and
Wolfowitz' recursion, to the nanosecond. The recursion, with the arrivals and service times that the simulator draws,
must have the mean of theory over so many calls that the noise is below 1 %.
"""

from __future__ import annotations

import heapq
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from harness.client.types import Outcome
from harness.experiment.cases import cases, describe
from harness.experiment.settings import RunSettings
from harness.experiment.simulate.case import play
from harness.experiment.simulate.simulated_server import SimulatedServer
from harness.load.schedule import compute
from harness.measure.reduce import columns
from mock_server.jitter import Constant, Exponential

Array = np.ndarray[Any, np.dtype[Any]]

SERVICE_S = 0.01
PROFILE = """[service]
base_s = {service_s}
[service.jitter]
kind = "{jitter}"
[capacity]
workers = {workers}
"""
RUNS = 12
ITEMS = 30_000


@dataclass(frozen=True)
class Queue:
    """A queue with Poisson arrivals, first come first served. `load` is per worker."""

    name: str
    jitter: str
    workers: int
    load: float

    @property
    def wait(self) -> float:
        """The mean wait in units of the mean service time: Erlang C, or Pollaczek and Khinchine."""
        if self.jitter == "constant":
            return self.load / (2 * (1 - self.load))
        return erlang_c(self.workers, self.load) / (self.workers * (1 - self.load))

    @property
    def rate_per_s(self) -> float:
        """Arrivals per second."""
        return self.load * self.workers / SERVICE_S

    def services_s(self, seed: int, count: int) -> list[float]:
        """The service times that the mock draws with this seed."""
        law = Constant() if self.jitter == "constant" else Exponential()
        draw = law.sampler(Random(f"{seed}/service"))
        return [draw() * SERVICE_S for _ in range(count)]

    def arrivals_s(self, seed: int, count: int) -> Sequence[float]:
        """The due times that a load of Poisson arrivals has with this seed."""
        settings = {"rate_per_s": self.rate_per_s}
        return compute("poisson", settings, 2 * count / self.rate_per_s, count, seed).offsets or []


QUEUES = (
    Queue("M/M/1", "exponential", 1, 0.5),
    Queue("M/M/5", "exponential", 5, 0.8),
    Queue("M/D/1", "constant", 1, 0.7),
)


def erlang_c(servers: int, load: float) -> float:
    """The probability of a wait in M/M/c; `load` is per server."""
    below, term = 0.0, 1.0
    for k in range(servers):
        below += term
        term *= servers * load / (k + 1)
    return term / (term + (1 - load) * below)


def recursion(due_s: Sequence[float], services_s: Sequence[float], workers: int) -> Array:
    """The waits by Kiefer and Wolfowitz: each call is served by the worker that is free first."""
    free = [0.0] * workers
    waits = np.empty(len(due_s))
    for number, (due, service) in enumerate(zip(due_s, services_s, strict=True)):
        begun = max(due, free[0])
        heapq.heapreplace(free, begun + service)
        waits[number] = begun - due
    return waits


def simulated(queue: Queue, items: int, seed: int, directory: Path) -> Array:
    """The rows of a run of the simulator, in the order of arrival."""
    path = directory / "queue.toml"
    path.write_text(PROFILE.format(service_s=SERVICE_S, jitter=queue.jitter, workers=queue.workers))
    settings = RunSettings(
        strategies=("unbounded",),
        server=str(path),
        load="poisson",
        rate=queue.rate_per_s,
        items=items,
        duration=2 * items / queue.rate_per_s,
        seed=seed,
        simulated=True,
    )
    (case,) = cases(settings, describe("backlog"))
    rows = play(case.trial("", directory), SimulatedServer(str(path), seed)).rows
    assert (rows["outcome"] == Outcome.ok).all()
    ordered: Array = rows[np.argsort(rows["index"])]
    return ordered


def latencies_s(queue: Queue, rows: Array, seed: int) -> Array:
    """What the recursion says of the same calls: wait plus service time."""
    services_s = queue.services_s(seed, len(rows))
    return recursion((rows["due"] / 1e9).tolist(), services_s, queue.workers) + np.array(services_s)


def mean_wait(queue: Queue, items: int, seed: int) -> float:
    """The mean wait by the recursion, in units of the mean service time."""
    waits = recursion(queue.arrivals_s(seed, items), queue.services_s(seed, items), queue.workers)
    return float(waits.mean()) / SERVICE_S


def table(runs: int = RUNS) -> Iterator[str]:
    """The lines of the table in docs/measuring.md: runs of the simulator with seeds 1, 2, 3 ..."""
    yield "| queue | load | theory | simulated | standard error | difference |"
    yield "|---|---:|---:|---:|---:|---:|"
    for queue in QUEUES:
        found = np.empty(runs)
        for seed in range(1, runs + 1):
            with tempfile.TemporaryDirectory() as directory:
                rows = simulated(queue, ITEMS, seed, Path(directory))
            found[seed - 1] = columns.latency(rows).mean() / 1e9 / SERVICE_S - 1
        mean, error = found.mean(), found.std(ddof=1) / math.sqrt(runs)
        off = mean / queue.wait - 1
        yield (
            f"| {queue.name} | {queue.load:g} | {queue.wait:.3f} | {mean:.3f} | {100 * error / queue.wait:.1f} % "
            f"| {100 * off:+.1f} % |"
        )


if __name__ == "__main__":
    for line in table():
        print(line, flush=True)

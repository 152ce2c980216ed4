"""How often the intervals of a result contain the truth, on a queue whose law is known.

    python -m tests.simulation.statistics.calibration      # the table of docs/measuring.md

An experiment is a few repeats of an M/M/1 queue, as rows of a record file. Each repeat begins in the steady state. Its
sojourn times are exponential with rate (service rate - arrival rate), so every percentile is known exactly. Figures and
intervals come from the functions that make result.json.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from harness.measure.judge.slo import Bounds
from harness.measure.record.rows_file import REQUEST_DTYPE
from harness.measure.reduce import columns
from harness.measure.reduce.latencies import by_repeat
from harness.measure.reduce.rates import rates
from harness.measure.reduce.statistics import PERCENTILES, distribution

Array = np.ndarray[Any, np.dtype[Any]]

EXPERIMENTS = 300
REPEATS = 8
REQUESTS = {0.5: 2_000, 0.8: 20_000}
"""Requests of a repeat, by load: the busier the queue, the longer the repeat must be."""
FIGURES = ("p50", "p95", "p99", "completed")
SERVICE_RATE = 1_000.0


def queue(load: float, requests: int, rng: np.random.Generator) -> Array:
    """The rows of one repeat: a single server, first come first served, in its steady state from the start."""
    gaps = rng.exponential(1 / (load * SERVICE_RATE), requests)
    due = np.cumsum(gaps)
    service = rng.exponential(1 / SERVICE_RATE, requests)
    # Lindley's recursion in closed form; `waiting` is the wait that the first arrival finds.
    waiting = rng.exponential(1 / (SERVICE_RATE * (1 - load))) if rng.random() < load else 0.0
    steps = service[:-1] - gaps[1:]
    walk = np.concatenate([[0.0], np.cumsum(steps)])
    waits = np.maximum(walk + waiting, walk - np.minimum.accumulate(walk))
    rows = np.zeros(requests, REQUEST_DTYPE)
    instants = np.round(due * 1e9).astype(np.int64)
    rows["index"], rows["due"], rows["fired"] = np.arange(requests), instants, instants
    rows["first_sent"] = rows["sent"] = instants
    rows["done"] = np.round((due + waits + service) * 1e9).astype(np.int64)
    rows["attempts"], rows["status"] = 1, 200
    return rows


def experiment(load: float, rng: np.random.Generator, repeats: int = REPEATS) -> dict[str, tuple[Any, Any]]:
    """The intervals of one experiment, by figure."""
    requests = REQUESTS[load]
    played = [columns.Repeat(k, queue(load, requests, rng), np.empty(0), []) for k in range(repeats)]
    latency = distribution([columns.latency(one.ok()) for one in played])
    alone = [by_repeat(one, requests, Bounds(None, None, None)) for one in played]
    speed = rates(None, None, requests * repeats, alone)
    found = {name: (getattr(latency, name).low, getattr(latency, name).high) for name in PERCENTILES}
    return {**found, "completed": (speed.completed_low, speed.completed_high)}


def truth(load: float) -> dict[str, float]:
    """Percentiles of the sojourn time in seconds, and the throughput per second."""
    mean_s = 1 / (SERVICE_RATE * (1 - load))
    return {
        **{name: -math.log(1 - p) * mean_s for name, p in PERCENTILES.items()},
        "completed": load * SERVICE_RATE,
    }


def coverage(load: float, experiments: int = EXPERIMENTS, seed: int = 1) -> dict[str, float]:
    """The share of experiments whose interval contains the truth, by figure."""
    rng, true = np.random.default_rng([seed, round(load * 1000)]), truth(load)
    hits = dict.fromkeys(FIGURES, 0)
    for _ in range(experiments):
        found = experiment(load, rng)
        for name in FIGURES:
            low, high = found[name]
            hits[name] += low is not None and high is not None and low <= true[name] <= high
    return {name: count / experiments for name, count in hits.items()}


def table(experiments: int = EXPERIMENTS) -> Iterator[str]:
    """The lines of the table in docs/measuring.md."""
    yield "| load | repeats | requests in each | " + " | ".join((*FIGURES[:-1], "throughput")) + " |"
    yield "|---:|---:|---:|" + "---:|" * len(FIGURES)
    for load, requests in REQUESTS.items():
        shares = coverage(load, experiments)
        cells = " | ".join(f"{100 * shares[name]:.1f} %" for name in FIGURES)
        yield f"| {load:g} | {REPEATS} | {requests:,} | {cells} |"


if __name__ == "__main__":
    print(*table(), sep="\n")

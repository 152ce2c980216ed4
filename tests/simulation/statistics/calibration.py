"""How often the intervals of a result contain the truth, on a queue whose law is known.

    python -m tests.simulation.statistics.calibration      # the table of docs/measuring.md

    python -m tests.simulation.statistics.calibration auto      # the table for --repeats auto

An experiment is a few repeats of an M/M/1 queue, as rows of a record file. Each repeat begins in the steady state. Its
sojourn times are exponential with rate (service rate - arrival rate), so every percentile is known exactly. Figures and
intervals come from the functions that make result.json.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from harness.experiment.order import UntilNarrow
from harness.experiment.spec import CaseSpec
from harness.measure.judge.slo import RequestBounds
from harness.measure.precision_result import PrecisionPlan
from harness.measure.record.rows_file import REQUEST_DTYPE
from harness.measure.reduce import columns
from harness.measure.reduce.latencies import by_repeat
from harness.measure.reduce.rates import rates
from harness.measure.reduce.statistics import PERCENTILES, WIDENED, distribution
from harness.measure.reduce.summary import Observed
from harness.measure.repeat_figures import RepeatFigures
from harness.measure.result import Case, Counts, Load, Named, Target, Verdict

Array = np.ndarray[Any, np.dtype[Any]]

EXPERIMENTS = 300
REPEATS = 8
REQUESTS = {0.5: 2_000, 0.8: 20_000}
"""Requests of a repeat, by load: the busier the queue, the longer the repeat must be."""
FIGURES = ("p50", "p95", "p99", "completed")
SERVICE_RATE = 1_000.0
AUTOMATIC = PrecisionPlan(most=40)


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
    alone = [by_repeat(one, requests, RequestBounds(None, None, None)) for one in played]
    speed = rates(None, None, requests * repeats, alone)
    found = {name: (getattr(latency, name).low, getattr(latency, name).high) for name in PERCENTILES}
    return {**found, "completed": (speed.completed_low, speed.completed_high)}


def automatic(load: float, width: float, factor: float, rng: np.random.Generator) -> tuple[int, Case]:
    """An experiment of `--repeats auto`, played by its order; returns the number of repeats and the case.

    `factor` widens the intervals, as `statistics.WIDENED` does in a run.
    """
    requests = REQUESTS[load]
    latencies, alone = list[Array](), list[RepeatFigures]()

    def measure(planned: CaseSpec) -> Case:
        spread, speed = distribution(latencies, factor=factor), rates(None, None, requests * len(alone), alone, factor)
        counts = Counts(ok=requests * len(alone))
        named = {"strategy": planned.strategy, "task": "", "target": Target("")}
        return Case("queue", load=Load("poisson"), counts=counts, rates_per_s=speed, latency_s=spread, **named)

    spec = CaseSpec("queue", Named("unbounded"), [], duration_s=1.0, items=1, schedules=["-"] * AUTOMATIC.most)
    order = UntilNarrow([spec], msgspec.structs.replace(AUTOMATIC, width=width), measure)
    for planned, repeat in order:
        one = columns.Repeat(repeat, queue(load, requests, rng), np.empty(0), [])
        latencies.append(columns.latency(one.ok()))
        alone.append(by_repeat(one, requests, RequestBounds(None, None, None)))
        order.ended(planned, repeat, lambda: Observed(None, Verdict("valid")))
    return len(alone), measure(spec)


def automatic_coverage(
    width: float, factor: float = WIDENED, experiments: int = EXPERIMENTS, seed: int = 1
) -> tuple[float, dict[str, float]]:
    """The mean number of repeats, and the share of experiments whose interval contains the truth, by figure."""
    load = 0.5
    rng, true = np.random.default_rng([seed, round(width * 1000)]), truth(load)
    played, hits = 0, dict.fromkeys(FIGURES, 0)
    for _ in range(experiments):
        repeats, case = automatic(load, width, factor, rng)
        played += repeats
        speed = case.rates_per_s
        found = {name: (getattr(case.latency_s, name).low, getattr(case.latency_s, name).high) for name in PERCENTILES}
        found["completed"] = (speed.completed_low, speed.completed_high)
        for name in FIGURES:
            low, high = found[name]
            hits[name] += low is not None and high is not None and low <= true[name] <= high
    return played / experiments, {name: count / experiments for name, count in hits.items()}


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


def automatic_table(experiments: int = 1000) -> Iterator[str]:
    """The lines of the table for automatic repeats, with and without the factor on the intervals."""
    yield "| asked for | factor | repeats, mean | " + " | ".join((*FIGURES[:-1], "throughput")) + " |"
    yield "|---:|---:|---:|" + "---:|" * len(FIGURES)
    for width in (0.08, 0.1, 0.12):
        for factor in (1.0, WIDENED):
            repeats, shares = automatic_coverage(width, factor, experiments)
            cells = " | ".join(f"{100 * shares[name]:.1f} %" for name in FIGURES)
            yield f"| ±{100 * width:g} % | {factor:g} | {repeats:.1f} | {cells} |"


if __name__ == "__main__":
    print(*(automatic_table() if sys.argv[1:] == ["auto"] else table()), sep="\n")

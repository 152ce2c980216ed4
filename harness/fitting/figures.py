"""Figures of one load, and how far two servers differ in them. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from harness.fitting.seen import Floats, Seen

NAMES = ("rate", "p50", "p95", "p99", "ttft_p50", "ttft_p95", "itl_p50", "refused")
"""Answers per second; seconds; the last is a share of the requests."""
IN_LOSS = ("rate", "p50", "p95", "ttft_p50", "itl_p50")
P99_MIN = 1000
"""Fewest answers with a p99: ten are above it."""


@dataclass(frozen=True)
class Figures:
    """None for what the load does not have."""

    rate: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    ttft_p50: float | None
    ttft_p95: float | None
    itl_p50: float | None
    refused: float
    n: int


def figures(seen: Seen, from_s: float = 0.0) -> Figures:
    """The figures of the requests due from this instant on. The latency counts from the due time of arrivals."""
    part = seen.part(seen.due >= from_s) if from_s else seen
    good = part.part(part.ok)
    since = good.sent if seen.concurrency else good.due
    latency = good.done - since
    first = (good.first - since)[good.chunks > 0]
    span = float(good.done.max() - part.due.min()) if len(good) else 0.0
    if seen.concurrency and len(good):
        span = float(good.done.max() - good.sent.min())
    return Figures(
        len(good) / span if span > 0 else None,
        _quantile(latency, 0.5, 5),
        _quantile(latency, 0.95, 40),
        _quantile(latency, 0.99, P99_MIN),
        _quantile(first, 0.5, 5),
        _quantile(first, 0.95, 40),
        _quantile(good.gaps, 0.5, 5),
        float(part.refused.mean()) if len(part) else 0.0,
        len(good),
    )


def _quantile(values: Floats, share: float, least: int) -> float | None:
    return float(np.quantile(values, share)) if len(values) >= least else None


def relative(measured: Figures, played: Figures, name: str) -> float | None:
    """Played over measured, minus 1; of a share the difference. None where one of them is not known."""
    before, after = getattr(measured, name), getattr(played, name)
    if before is None or after is None:
        return None
    if name == "refused":
        return float(after - before)
    return float(after / before - 1) if before > 0 else None


def loss(pairs: list[tuple[Figures, Figures]]) -> float:
    """Root mean square of the relative errors over loads and figures: one bad load costs."""
    errors = [relative(one, other, name) for one, other in pairs for name in IN_LOSS]
    known = [error for error in errors if error is not None]
    return math.sqrt(sum(error**2 for error in known) / len(known)) if known else math.inf


def steadiness(seen: Seen, windows: int = 8) -> float:
    """The least answered window of a load as a share of the median one: near 1 if the server works steadily."""
    if len(seen) < 20 * windows:
        return 1.0
    done = np.sort(seen.done[seen.ok])
    # The end of a closed loop has fewer in flight.
    done = done[: len(done) - seen.concurrency] if seen.concurrency < len(done) else done
    counts, _ = np.histogram(done, bins=windows, range=(float(seen.sent.min()), float(done[-1])))
    return float(counts.min() / np.median(counts))


BLOCKS = 8


def scatter(real: Sequence[Seen], mock: Sequence[Seen]) -> dict[str, float]:
    """The relative standard error of each figure of one run, given the schedule.

    Two runs of one schedule are compared block by block, so what their arrivals have in common does not count.
    """
    of_real, of_mock = _pooled(real), _pooled(mock)
    # An embedded mock repeats its random numbers, so its runs may scatter less than they should.
    noise = {
        name: max(error, math.sqrt((error**2 + of_mock.get(name, error) ** 2) / 2)) for name, error in of_real.items()
    }
    # A block is too short for a p99, whose error is larger than that of the p95.
    return noise | ({"p99": 1.5 * noise["p95"]} if "p95" in noise else {})


def _pooled(runs: Sequence[Seen]) -> dict[str, float]:
    """The standard errors of one run, over all pairs of neighbours."""
    found: dict[str, list[float]] = {}
    for one, other in pairwise(runs):
        for name, error in _scatter(_blocks(one), _blocks(other)).items():
            found.setdefault(name, []).append(error)
    return {name: float(np.sqrt(np.mean(np.square(errors)))) for name, errors in found.items()}


def _scatter(one: list[dict[str, float]], other: list[dict[str, float]]) -> dict[str, float]:
    """The standard error of one run, from the ratios of the blocks of two."""
    found = {}
    for _, _, name in _BLOCK_FIGURES:
        both = [(a[name], b[name]) for a, b in zip(one, other, strict=True) if a.get(name) and b.get(name)]
        if len(both) >= BLOCKS - 1:
            ratios = np.log([a / b for a, b in both])
            found[name] = float(ratios.std(ddof=1) / np.sqrt(len(both)) / math.sqrt(2))
    return found


def _blocks(seen: Seen) -> list[dict[str, float]]:
    """The figures of consecutive parts of a load."""
    order = np.argsort(seen.due if not seen.concurrency else seen.sent, kind="stable")
    return [_block(seen.part(np.sort(places))) for places in np.array_split(order, BLOCKS)]


def _block(seen: Seen) -> dict[str, float]:
    good = seen.part(seen.ok)
    since = good.sent if good.concurrency else good.due
    values = {"p": good.done - since, "ttft": (good.first - since)[good.chunks > 0], "itl": good.gaps}
    return {
        name: float(np.quantile(values[kind], share)) for kind, share, name in _BLOCK_FIGURES if len(values[kind]) >= 10
    }


_BLOCK_FIGURES = (
    ("p", 0.5, "p50"),
    ("p", 0.95, "p95"),
    ("ttft", 0.5, "ttft_p50"),
    ("ttft", 0.95, "ttft_p95"),
    ("itl", 0.5, "itl_p50"),
)

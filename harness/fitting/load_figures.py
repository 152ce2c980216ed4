"""Figures of one load, and how far two servers differ in them. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from harness.fitting.seen import Floats, Seen

NAMES = ("rate", "p50", "p95", "p99", "ttft_p50", "ttft_p95", "itl_p50", "refused")
"""Answers per second; seconds; the last is a share of the requests."""
IN_LOSS = ("rate", "p50", "p95", "ttft_p50", "itl_p50")
P99_MIN = 1000
"""Fewest answers with a p99: ten are above it."""


@dataclass(frozen=True)
class Figures:
    """None for figures that the load does not have."""

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
    if not len(done):
        return 0.0
    # The end of a closed loop has fewer in flight.
    done = done[: len(done) - seen.concurrency] if seen.concurrency < len(done) else done
    counts, _ = np.histogram(done, bins=windows, range=(float(seen.sent.min()), float(done[-1])))
    usual = float(np.median(counts))
    return float(counts.min()) / usual if usual else 0.0


BLOCKS = 16
_Blocks = dict[str, list[Floats]]


def scatter(real: Sequence[Seen], mock: Sequence[Seen]) -> dict[str, float]:
    """The relative standard error of each figure of one run, given the schedule.

    Two runs of one schedule are compared block by block, so what their arrivals have in common does not count.
    """
    of_real, of_mock = _pooled(real), _pooled(mock)
    # An embedded mock repeats its random numbers, so its runs may scatter less than they should.
    return {
        name: max(error, math.sqrt((error**2 + of_mock.get(name, error) ** 2) / 2)) for name, error in of_real.items()
    }


def _pooled(runs: Sequence[Seen]) -> dict[str, float]:
    """The standard errors of one run, over all pairs of neighbours."""
    found: dict[str, list[float]] = {}
    for one, other in pairwise(runs):
        for name, error in _scatter(_blocks(one), _blocks(other)).items():
            found.setdefault(name, []).append(error)
    return {name: float(np.sqrt(np.mean(np.square(errors)))) for name, errors in found.items()}


def _scatter(one: _Blocks, other: _Blocks) -> dict[str, float]:
    """The standard error of one run: the same blocks of both are drawn with replacement, and the figures compared.

    Figures of whole draws, because a tail may come from a few blocks alone, such as those of a burst.
    """
    found, draws = {}, np.random.default_rng(1).integers(0, BLOCKS, (_DRAWS, BLOCKS))
    for kind, share, name in _BLOCK_FIGURES:
        if min(sum(map(len, run[kind])) for run in (one, other)) < 10 * BLOCKS:
            continue
        ratios = [
            math.log(a / b)
            for draw in draws
            if (a := _of_draw(one[kind], draw, share)) > 0 and (b := _of_draw(other[kind], draw, share)) > 0
        ]
        found[name] = float(np.std(ratios) / math.sqrt(2)) if ratios else 0.0
    return found


def _of_draw(blocks: Sequence[Floats], draw: Any, share: float) -> float:
    """The figure of the drawn blocks; 0 if there is no answer in any of them."""
    drawn = np.concatenate([blocks[place] for place in draw])
    return float(np.quantile(drawn, share)) if len(drawn) else 0.0


def _blocks(seen: Seen) -> _Blocks:
    """The times of consecutive parts of a load, by kind of figure."""
    order = np.argsort(seen.due if not seen.concurrency else seen.sent, kind="stable")
    parts = [_times(seen.part(np.sort(places))) for places in np.array_split(order, BLOCKS)]
    return {kind: [part[kind] for part in parts] for kind in ("p", "ttft", "itl")}


def _times(seen: Seen) -> dict[str, Floats]:
    good = seen.part(seen.ok)
    since = good.sent if good.concurrency else good.due
    return {"p": good.done - since, "ttft": (good.first - since)[good.chunks > 0], "itl": good.gaps}


_DRAWS = 100
_BLOCK_FIGURES = (
    ("p", 0.5, "p50"),
    ("p", 0.95, "p95"),
    ("p", 0.99, "p99"),
    ("ttft", 0.5, "ttft_p50"),
    ("ttft", 0.95, "ttft_p95"),
    ("itl", 0.5, "itl_p50"),
)

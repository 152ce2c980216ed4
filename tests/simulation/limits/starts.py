"""Starts that are late: `python -m tests.simulation.limits.starts [SEEDS]`.

Plays the first 30 s of each shape whose service times vary, with 100 seeds or as many as are asked for. Prints how many
runs had less than 0.8 of the answers of the best static limit, with the same seed, and the least. So short a run is
stricter than those of the large table: a late start is a larger share of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from statistics import fmean

from harness.client.limits.fixed import Fixed
from harness.client.limits.knee import Knee
from tests.simulation.limits.references import reference
from tests.simulation.limits.run import play
from tests.simulation.limits.server import Shape, shapes

NOISY = tuple(f"{law}_{workers}" for law in ("exponential", "lognormal") for workers in (8, 16, 32, 200))
NOISY += ("mixture_12", "mixture_100_fast", "mixture_rare", "mixture_pareto_24", "mixture_bimodal_10")
SECONDS, LATE = 30.0, 0.8


def efficiencies(shape: Shape, seeds: range) -> list[float]:
    """Answers over those of the best static limit."""
    limit = reference(shape).limit
    brief = replace(shape, duration_s=SECONDS)
    return [play(brief, Knee, seed).ok / play(brief, lambda: Fixed(limit), seed).ok for seed in seeds]


def table(count: int) -> Iterator[str]:
    """A line a shape, as soon as it is known."""
    known = {shape.name: shape for shape in shapes()}
    yield f"| the first {SECONDS:g} s, {count} seeds | mean efficiency | least | runs under {LATE} |"
    yield "|---|---|---|---|"
    for name in NOISY:
        found = efficiencies(known[name], range(2001, 2001 + count))
        late = sum(one < LATE for one in found)
        yield f"| {name.replace('_', ' ')} | {fmean(found):.2f} | {min(found):.2f} | {late} |"


if __name__ == "__main__":
    for line in table(int(sys.argv[1]) if sys.argv[1:] else 100):
        print(line, flush=True)

"""What is gained by findings of an earlier run: `python -m tests.simulation.limits.carried`.

Prints the table of docs/adaptive.md: the successes of a run that knows nothing, and of one that begins with what a run
of twice the time learnt; the means of eight seeds, others than those of the first run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import fmean

from harness.client.gate.carried import CarriedLimit, Learnt
from harness.client.limits.knee import Knee
from harness.client.types import Limit
from tests.simulation.limits.run import play
from tests.simulation.limits.server import Shape, shapes

FIRST, SECOND = range(1, 9), range(101, 109)


@dataclass(frozen=True)
class Case:
    """A server, and the one that the findings are of."""

    about: str
    shape: Shape
    learnt_at: Shape


def cases() -> Iterator[Case]:
    """The rows."""
    slow = Shape("slow", workers=40, service_s=2.0, law="lognormal", sigma=0.5)
    batch = replace(next(shape for shape in shapes() if shape.name == "llm_batch"), duration_s=60.0)
    quick = Shape("quick", workers=32, duration_s=10.0)
    rate = Shape("rate", workers=1000, rate_per_s=50.0, burst=5, duration_s=30.0)
    slow_rate = Shape("slow rate", workers=1000, service_s=2.0, law="lognormal", sigma=0.5, rate_per_s=20.0, burst=5)
    more = Shape("more", workers=64, refused_share=0.005, duration_s=30.0)
    small, large = replace(slow, name="small", workers=8), replace(slow, name="large", workers=64)
    yield Case("40 workers of 2 s, lognormal, the first minute", slow, slow)
    yield Case("a batch of at most 64, 2.4 s each, the first minute", batch, batch)
    yield Case("32 workers of 0.1 s, the first 10 s", quick, quick)
    yield Case("a rate of 50 a second, the first 30 s", rate, rate)
    yield Case("a rate of 20 a second, answers of 2 s, the first minute", slow_rate, slow_rate)
    yield Case("64 workers of 0.1 s, 0.5 % refused, but that rate of 50 was learnt, the first 30 s", more, rate)
    yield Case("8 workers of 2 s, but 64 were learnt, the first minute", small, large)
    yield Case("64 workers of 2 s, but 8 were learnt, the first minute", large, small)


def knee(initial: int | None) -> Limit:
    """Our limit, beginning with a number or as usual."""
    return Knee() if initial is None else Knee(initial=initial)


def learnt(shape: Shape, seed: int) -> Learnt | None:
    """The findings of a run that knew nothing."""
    limit = CarriedLimit(knee, None)
    play(replace(shape, duration_s=2 * shape.duration_s), lambda: limit, seed)
    return limit.learnt()


def answers(case: Case) -> tuple[float, float]:
    """Mean successes without and with findings."""
    found = [learnt(case.learnt_at, seed) for seed in FIRST]
    fresh = [play(case.shape, Knee, seed).ok for seed in SECOND]
    known = [
        play(case.shape, lambda one=one: CarriedLimit(knee, one), seed).ok  # type: ignore[misc]
        for one, seed in zip(found, SECOND, strict=True)
    ]
    return fmean(fresh), fmean(known)


if __name__ == "__main__":
    print("| successes, the mean of eight seeds | nothing known | known |\n|---|---|---|")
    for case in cases():
        fresh, known = answers(case)
        print(f"| {case.about} | {fresh:.0f} | {known:.0f} |", flush=True)

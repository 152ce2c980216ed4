"""The table of docs/capacity.md: `python -m tests.simulation.capacity.table [SEEDS]` prints it; it takes minutes.

Every rule plays against the same ten servers with trials of the same length. A load of a published rule is one trial.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness.experiment.run import opened
from harness.experiment.simulate.compare import VirtualTime
from harness.measure.judge.capacity.probes import judge
from harness.measure.judge.capacity.search import Ask
from tests.simulation.capacity.profiles import PROFILES, Known
from tests.simulation.capacity.published import Measure, Point, aiperf_monotonic, guidellm_goodput
from tests.simulation.capacity.searching import prepared, search

Search = Callable[[Measure], tuple[int, list[tuple[int, bool]]]]


@dataclass
class Score:
    """What a rule answered over all servers and seeds."""

    errors: list[float] = field(default_factory=list)
    above: int = 0  # answers at 1.1 times the capacity or more
    false: int = 0  # probes that passed there
    probes: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def row(self, name: str) -> str:
        """A line of the table."""
        sizes = np.abs(self.errors)
        above = f"{self.above} of {len(self.errors)}"
        return (
            f"| {name} | {np.median(sizes):.1%} | {np.max(sizes):.0%} | {above} | {self.false} | "
            f"{np.mean(self.probes):.0f} | {np.mean(self.seconds):,.0f} |"
        ).replace("%", " %")


def measured(known: Known, load: int, seed: int, out: Path) -> tuple[Point, float]:
    """One trial at a load."""
    run, order = prepared(known, out, seed)
    with opened(run, VirtualTime(run), lambda event, facts: None) as session:
        case = None
        for case, repeat in order.trials(known.by, Ask(float(load), 1, "narrow")):
            session.play(case, repeat, order)
    assert case is not None
    (samples,) = order.samples(case.name)
    (sample,) = samples
    probe = judge(order.probes()[0], [known.slo], samples)
    family = "ttft_" if known.task else "service_" if known.by == "concurrency" else ""
    within = int((sample.values[family] <= known.limit_s).sum())
    holds = all(one.value is not None and one.value < one.limit for one in probe.figures[:2])
    return Point(within / max(sample.scheduled, 1), holds), sample.seconds


def published(rule: Search, known: Known, seed: int, score: Score) -> None:
    """Play a published rule against a server."""
    seconds = 0.0

    def measure(load: int) -> Point:
        nonlocal seconds
        with tempfile.TemporaryDirectory() as folder:
            point, took = measured(known, load, seed, Path(folder) / "run")
        seconds += took
        return point

    answer, tried = rule(measure)
    note(score, known, float(answer), [(float(load), passed) for load, passed in tried], seconds)


def note(score: Score, known: Known, answer: float, tried: list[tuple[float, bool]], seconds: float) -> None:
    """Add an answer to the score."""
    score.errors.append(answer / known.capacity - 1)
    score.above += answer >= 1.1 * known.capacity
    score.false += sum(passed for load, passed in tried if load >= 1.1 * known.capacity)
    score.probes.append(len(tried))
    score.seconds.append(seconds)


def main(seeds: int) -> None:
    """Print the table."""
    scores = {"paceline": Score(), "GuideLLM `goodput`": Score(), "AIPerf `monotonic`": Score()}
    inside = narrow = 0
    for seed in range(1, seeds + 1):
        for known in PROFILES:
            published(guidellm_goodput, known, seed, scores["GuideLLM `goodput`"])
            published(aiperf_monotonic, known, seed, scores["AIPerf `monotonic`"])
            with tempfile.TemporaryDirectory() as folder:
                found = search(known, Path(folder) / "run", seed)
            (answer,) = found.answers
            tried = [(one.load, "passed" in one.states) for one in found.probes]
            low, high = answer.low or 0.0, answer.high or float("inf")
            inside += low <= known.capacity <= high
            narrow += high <= 1.15 * low * (1 + 1e-9)
            note(scores["paceline"], known, low, tried, found.seconds)
            say = f"{known.name}, seed {seed}: {low:g} to {high:g}, truth {known.capacity:g}, {answer.ended}\n"
            sys.stderr.write(say)
    lines = [score.row(name) for name, score in scores.items()]
    sys.stdout.write("\n".join(lines) + f"\ninside {inside}, narrow {narrow} of {seeds * len(PROFILES)}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)

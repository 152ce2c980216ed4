"""Our limit at a server that reports its queue, and at one that does not: `python -m tests.simulation.limits.reported`.

Prints the table of docs/adaptive.md: the mean of five seeds, by the same references with and without reports.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from statistics import fmean

from harness.client.limits.knee import Knee
from tests.simulation.limits.references import SEEDS, reference
from tests.simulation.limits.run import play
from tests.simulation.limits.score import Scores, scores
from tests.simulation.limits.server import Shape, shapes

KINDS = {
    "exponential_16": "exponential 16",
    "lognormal_8": "lognormal 8",
    "mixture_pareto_24": "Pareto, 24 workers",
    "capacity_steps": "capacity steps",
    "late_4_100": "capacity that comes late",
    "neighbours_12_8": "neighbours, two thirds of 12 workers",
    "four_clients": "four clients",
    "clients_8": "8 clients",
    "clients_16": "16 clients",
    "usl_collapse": "scalability law (an unreported bottleneck)",
    "exponential_1": "one worker",
    "beside_50": "beside a static client of 50",
}
REPORTS = {"": "nothing reported", "queue": "`queue`", "first": "first event"}


def judge(shape: Shape, reports: str) -> list[Scores]:
    """Five runs, beside the static limit, which reads no reports."""
    reporting = replace(shape, reports=reports)
    return [scores(play(reporting, Knee, seed), shape, reference(shape, seed)) for seed in SEEDS[:5]]


def cell(shape: Shape, found: list[Scores]) -> str:
    """The score; of several clients p50 and Jain's index."""
    if shape.clients == 1:
        return f"{fmean(one.score for one in found):.2f}"
    return f"{fmean(one.p50 for one in found):.1f} / {fmean(one.jain for one in found):.2f}"


def table() -> Iterator[str]:
    """The lines, each as soon as it is known."""
    known = {shape.name: shape for shape in shapes()}
    yield f"| score; p50 over the calm limit's / Jain for clients (five seeds) | {' | '.join(REPORTS.values())} |"
    yield "|---" * (len(REPORTS) + 1) + "|"
    for name, words in KINDS.items():
        shape = known[name]
        yield f"| {words} | {' | '.join(cell(shape, judge(shape, reports)) for reports in REPORTS)} |"


if __name__ == "__main__":
    for line in table():
        print(line, flush=True)

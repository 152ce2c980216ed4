"""The table of docs/capacity.md: `python -m tests.simulation.capacity.table [SEEDS [KEPT [hard]]]`; it takes minutes.

Every rule plays against the same ten servers with trials of the same length. A load of a published rule is one trial.
KEPT is a file of answers: a run that was stopped goes on from there. `hard` plays the profiles of `HARD` instead.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from harness.experiment.run import opened
from harness.experiment.simulate.compare import VirtualTime
from harness.measure.judge.capacity.probes import judge
from harness.measure.judge.capacity.search import Ask
from tests.simulation.capacity.profiles import HARD, PROFILES, Known
from tests.simulation.capacity.published import Measure, Point, aiperf_monotonic, guidellm_goodput
from tests.simulation.capacity.searching import prepared, search

Search = Callable[[Measure], tuple[int, list[tuple[int, bool]]]]


class Answer(msgspec.Struct, frozen=True):
    """What a rule answered on one server with one seed."""

    rule: str
    profile: str
    seed: int
    capacity: float
    low: float
    high: float
    tried: list[tuple[float, bool]]
    seconds: float
    ended: str = ""

    def words(self) -> str:
        """One line of progress."""
        highest = "" if self.high == self.low else f" to {self.high:g}"
        return f"{self.profile}, seed {self.seed}, {self.rule}: {self.low:g}{highest}, truth {self.capacity:g}\n"


def row(name: str, answers: Sequence[Answer]) -> str:
    """A line of the table."""
    sizes = np.abs([one.low / one.capacity - 1 for one in answers])
    above = sum(one.low >= 1.1 * one.capacity for one in answers)
    false = sum(passed for one in answers for load, passed in one.tried if load >= 1.1 * one.capacity)
    probes, seconds = np.mean([len(one.tried) for one in answers]), np.mean([one.seconds for one in answers])
    return (
        f"| {name} | {np.median(sizes):.1%} | {np.max(sizes):.0%} | {above} of {len(answers)} | {false} | "
        f"{probes:.0f} | {seconds:,.0f} |"
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


def published(rule: Search, name: str, known: Known, seed: int) -> Answer:
    """Play a published rule against a server."""
    seconds = 0.0

    def measure(load: int) -> Point:
        nonlocal seconds
        with tempfile.TemporaryDirectory() as folder:
            point, took = measured(known, load, seed, Path(folder) / "run")
        seconds += took
        return point

    load, tried = rule(measure)
    shown = [(float(one), passed) for one, passed in tried]
    return Answer(name, profile(known), seed, known.capacity, float(load), float(load), shown, seconds)


def searched(known: Known, seed: int) -> Answer:
    """Play paceline's search against a server."""
    with tempfile.TemporaryDirectory() as folder:
        found = search(known, Path(folder) / "run", seed)
    (answer,) = found.answers
    tried = [(one.load, "passed" in one.states) for one in found.probes]
    # JSON has no infinity.
    low, high = answer.low or 0.0, answer.high or 1e9
    return Answer("paceline", profile(known), seed, known.capacity, low, high, tried, found.seconds, answer.ended)


def profile(known: Known) -> str:
    """The name, with the warm-up, because one profile may be played with two."""
    return f"{known.name} ({known.warmup_s:g} s)"


RULES: dict[str, Callable[[Known, int], Answer]] = {
    "paceline": searched,
    "GuideLLM `goodput`": lambda known, seed: published(guidellm_goodput, "GuideLLM `goodput`", known, seed),
    "AIPerf `monotonic`": lambda known, seed: published(aiperf_monotonic, "AIPerf `monotonic`", known, seed),
}


def answers(profiles: Sequence[Known], seeds: int, kept: Path) -> list[Answer]:
    """All answers. Those in the file `kept` are not played again, and new ones are added to it."""
    lines = kept.read_bytes().splitlines() if kept.exists() else []
    found = [msgspec.json.decode(line, type=Answer) for line in lines]
    done = {(one.rule, one.profile, one.seed) for one in found}
    wanted = [(name, known, seed) for seed in range(1, seeds + 1) for known in profiles for name in RULES]
    for name, known, seed in wanted:
        if (name, profile(known), seed) not in done:
            found.append(RULES[name](known, seed))
            sys.stderr.write(found[-1].words())
            with kept.open("ab") as file:
                file.write(msgspec.json.encode(found[-1]) + b"\n")
    return [one for one in found if (one.profile, one.seed) in {(profile(known), seed) for _, known, seed in wanted}]


def main(seeds: int, kept: Path | None, profiles: Sequence[Known]) -> None:
    """Print the table, and how often the truth lay in paceline's interval."""
    with tempfile.TemporaryDirectory() as folder:
        found = answers(profiles, seeds, kept or Path(folder) / "answers.jsonl")
    for name in RULES:
        sys.stdout.write(row(name, [one for one in found if one.rule == name]) + "\n")
    own = [one for one in found if one.rule == "paceline"]
    inside = sum(one.low <= one.capacity <= one.high for one in own)
    narrow = sum(one.high <= 1.15 * one.low * (1 + 1e-9) for one in own)
    sys.stdout.write(f"inside {inside}, narrow {narrow} of {len(own)}\n")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(
        int(given[0]) if given else 3,
        Path(given[1]) if len(given) > 1 else None,
        HARD if given[2:] == ["hard"] else PROFILES,
    )

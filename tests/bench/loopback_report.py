"""Loopback beside simulation, in words and tables; what is in brackets was simulated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean

from tests.simulation.limits.score import Reference, Scores
from tests.simulation.limits.server import Shape

BEGIN, END = "<!-- loopback: begin -->", "<!-- loopback: end -->"
KNOWN = frozenset({"aimd", "arc", "cubic", "gradient2", "vegas"})
"""Limits after somebody else's; all others are ours."""
APART = 0.05  # of score: two limits that are nearer have no order
FIRST = 0.02  # of score: as good as the first


@dataclass(frozen=True)
class Compared:
    """All limits on one shape, both ways."""

    shape: Shape
    best: Reference
    lean_best: Reference
    real: dict[str, Scores]
    lean: dict[str, list[Scores]]
    lag_s: float

    def lean_score(self, name: str) -> float:
        """Mean over the seeds."""
        return fmean(run.score for run in self.lean[name])

    @property
    def tau(self) -> float:
        """Kendall's tau-b of the two rankings; nan where there is nothing to rank."""
        real, lean = [run.score for run in self.real.values()], [self.lean_score(name) for name in self.real]
        pairs = list(combinations(range(len(real)), 2))
        left, right = ([_sign(scores[a] - scores[b]) for a, b in pairs] for scores in (real, lean))
        untied = math.sqrt(sum(map(abs, left)) * sum(map(abs, right)))
        return sum(a * b for a, b in zip(left, right, strict=True)) / untied if untied else math.nan

    @property
    def pairs(self) -> tuple[int, int]:
        """Of the pairs of limits that differ in the simulation: how many have the same order, how many there are."""
        same = apart = 0
        for left, right in combinations(self.real, 2):
            simulated = self.lean_score(left) - self.lean_score(right)
            if abs(simulated) > APART:
                apart += 1
                same += simulated * (self.real[left].score - self.real[right].score) > 0
        return same, apart

    @property
    def ours_first(self) -> tuple[bool, bool] | None:
        """Over loopback, and in the simulation; None if not both kinds were played."""
        ours, known = set(self.real) - KNOWN, set(self.real) & KNOWN
        if not ours or not known:
            return None
        real = max(self.real[n].score for n in ours) >= max(self.real[n].score for n in known) - FIRST
        lean = max(map(self.lean_score, ours)) >= max(map(self.lean_score, known)) - FIRST
        return real, lean


def report(found: Sequence[Compared]) -> str:
    """A table a shape, and one line on all."""
    parts = [_table(one) for one in found]
    same, apart = (sum(one.pairs[k] for one in found) for k in (0, 1))
    firsts = [one.ours_first for one in found if one.ours_first is not None]
    line = f"Over {len(found)} shapes {same} of {apart} pairs of limits that differ in the simulation are ordered alike"
    if firsts:
        line += f"; one of ours is first in both on {sum(all(first) for first in firsts)} of {len(firsts)}"
    return "\n\n".join([*parts, line + "."])


def _table(one: Compared) -> str:
    shape, best, lean = one.shape, one.best, one.lean_best
    rate, lean_rate = best.ok / shape.duration_s, lean.ok / shape.duration_s
    same, apart = one.pairs
    title = (
        f"**{shape.name.replace('_', ' ')}**, {shape.duration_s:g} s. Best static limit {best.limit} (simulated "
        f"{lean.limit}): {rate:.0f}/s ({lean_rate:.0f}/s), p50 {best.p50_s * 1e3:.0f} ms ({lean.p50_s * 1e3:.0f} ms). "
        f"The client's loop was up to {one.lag_s * 1e3:.0f} ms late."
    )
    lines = [
        title,
        "",
        "| limit | efficiency | p50 | refusals per ok | score |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in sorted(one.real, key=lambda name: -one.real[name].score):
        real, runs = one.real[name], one.lean[name]
        cells = [
            f"{getattr(real, field):.2f} ({fmean(getattr(run, field) for run in runs):.2f})"
            for field in ("efficiency", "p50", "refusals", "score")
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    first = "" if one.ours_first is None else f" Ours first: {_yes(one.ours_first[0])} ({_yes(one.ours_first[1])})."
    lines += ["", f"Kendall's tau {one.tau:.2f}; {same} of {apart} pairs ordered alike.{first}"]
    return "\n".join(lines)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _yes(true: bool) -> str:
    return "yes" if true else "no"


def written(path: Path, text: str) -> None:
    """Replace what stands between the two marks of a document; raises ValueError if they are missing."""
    old = path.read_text(encoding="utf-8")
    head, tail = old[: old.index(BEGIN)], old[old.index(END) :]
    path.write_text(f"{head}{BEGIN}\n{text}\n{tail}", encoding="utf-8")

"""Writes the table and chart of all limits on all shapes: `python -m tests.simulation.limits.table docs/adaptive.md`.

What stands between the two marks in the file is replaced; the chart is written beside it (`adaptive.png`). Without a
file it prints the figures of the limits that are named instead, ours if none is:
`python -m tests.simulation.limits.table knee arc`. All takes an hour of one processor. With `--keep FILE` each case is
written there as soon as it is played, and not played again by the next call: delete the file after a change of a limit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

from harness import plugins
from tests.simulation.limits.cases import OURS, Runs, parser_of, played
from tests.simulation.limits.references import SEEDS, reference
from tests.simulation.limits.score import Scores
from tests.simulation.limits.server import Shape, shapes

BEGIN, END = "<!-- table of limits: begin -->", "<!-- table of limits: end -->"
LOW, WEAK = 0.05, 0.75


def limits() -> list[str]:
    """All of them, but the one that learns nothing; ours first."""
    return sorted((name for name in plugins.names("limit") if name != "fixed"), key=lambda name: (name != OURS, name))


def table(runs: dict[str, Runs], kinds: Sequence[Shape]) -> Iterator[str]:
    """A row a shape: the figures of the first limit, the mean scores of the others; over all of them below."""
    ours, *others = runs
    heads = [f"{ours}: score, mean / 5 % quantile", "efficiency", "p50", "p99", "refusals", "Jain, least", *others]
    yield "| shape (best static limit) | " + " | ".join(heads) + " |"
    yield "| --- |" + " --- |" * len(heads)
    for shape in kinds:
        best = reference(shape, SEEDS[0])
        cells = [*_cells(runs[ours][shape.name], shape), *(_mean(runs[name][shape.name]) for name in others)]
        yield f"| {shape.name.replace('_', ' ')} ({best.limit}) | " + " | ".join(cells) + " |"
    yield "| **all: mean** | " + _over_all(runs, fmean) + " |"
    yield "| **worst shape's mean** | " + _over_all(runs, min) + " |"
    yield f"| **shapes with a mean under {WEAK}** | " + _over_all(runs, _weak, "{:.0f}") + " |"


def _cells(found: Sequence[Scores], shape: Shape) -> list[str]:
    scored = [one.score for one in found]
    figures = [f"{fmean(getattr(one, name) for one in found):.2f}" for name in ("efficiency", "p50", "p99", "refusals")]
    fair = ""
    if len(shape.presence()) > 1:
        fair = f"{fmean(one.jain for one in found):.2f}, {min(one.least for one in found):.2f}"
    return [f"{fmean(scored):.2f} / {np.quantile(scored, LOW):.2f}", *figures, fair]


def _mean(found: Sequence[Scores]) -> str:
    return f"{fmean(one.score for one in found):.2f}"


def _weak(means: list[float]) -> float:
    return sum(mean < WEAK for mean in means)


def _over_all(runs: dict[str, Runs], of: Callable[[list[float]], float], form: str = "{:.2f}") -> str:
    means = {name: [fmean(one.score for one in found) for found in shapes.values()] for name, shapes in runs.items()}
    ours, *others = means
    low = np.quantile([one.score for found in runs[ours].values() for one in found], LOW)
    first = form.format(of(means[ours])) + (f" / {low:.2f}" if of is fmean else "")
    return " | ".join([first, *[""] * 5, *(form.format(of(means[name])) for name in others)])


def chart(runs: dict[str, Runs], path: Path) -> None:
    """A bar a limit: the mean score over all shapes, with the worst shape's marked."""
    from matplotlib.figure import Figure

    means = {name: [fmean(one.score for one in found) for found in shapes.values()] for name, shapes in runs.items()}
    order = sorted(means, key=lambda name: fmean(means[name]))
    figure = Figure(figsize=(7, 0.5 * len(order) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(order, [fmean(means[name]) for name in order], color="#4878a8")
    axes.plot([min(means[name]) for name in order], order, "D", color="#c44e52", label="worst shape")
    axes.set_xlim(0, 1)
    axes.set_xlabel("score: efficiency x min(1, 2 / inflation of p50 or p99) x Jain / (1 + refusals per success)")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)


def main(arguments: Sequence[str]) -> None:
    """Play, and print or write."""
    parser = parser_of("plays limits on all shapes")
    parser.add_argument("names", nargs="*", help="a .md file to write to, or the limits to print (knee)")
    given = parser.parse_args(arguments)
    kinds, names = shapes(), given.names or [OURS]
    if not names[0].endswith(".md"):
        print("\n".join(table(played(names, kinds, given.keep, given.processes), kinds)))
        return
    path = Path(names[0])
    runs = played(limits(), kinds, given.keep, given.processes)
    text = path.read_text(encoding="utf-8")
    head, tail = text[: text.index(BEGIN)], text[text.index(END) :]
    lines = "\n".join(table(runs, kinds))
    path.write_text(f"{head}{BEGIN}\n{lines}\n{tail}", encoding="utf-8")
    chart(runs, path.with_suffix(".png"))


if __name__ == "__main__":
    main(sys.argv[1:])

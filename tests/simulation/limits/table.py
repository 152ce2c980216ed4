"""Writes the table and chart of all limits on all shapes: `python -m tests.simulation.limits.table docs/adaptive.md`.

What stands between the two marks in the file is replaced; the chart is written beside it (`adaptive.png`).
"""

from __future__ import annotations

import sys
from multiprocessing import Pool
from pathlib import Path
from statistics import fmean, median

from harness import plugins
from tests.simulation.limits.run import Reference, Scores, play, reference, scores
from tests.simulation.limits.server import Shape, shapes

BEGIN, END = "<!-- table of limits: begin -->", "<!-- table of limits: end -->"
SEEDS = (101, 102, 103)  # never used to find a constant
Row = tuple[Shape, Reference, list[Scores]]


def limits() -> list[str]:
    """All of them, but the one that learns nothing."""
    return [name for name in plugins.names("limit") if name != "fixed"]


def judge(name: str, shape: Shape, best: Reference) -> list[Scores]:
    """A limit at its defaults on one shape, a run for each seed."""
    return [scores(play(shape, lambda: plugins.build("limit", name, {}), seed), shape, best) for seed in SEEDS]


def table(names: list[str], rows: dict[str, list[Row]]) -> str:
    """A row a shape, a column a limit: efficiency / p50 inflation / refusals per success; the scores below."""
    lines = ["| shape (best limit) | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for position, (shape, best, _) in enumerate(rows[names[0]]):
        cells = [_cell(rows[name][position][2]) for name in names]
        lines.append(f"| {shape.name.replace('_', ' ')} ({best.knee}) | " + " | ".join(cells) + " |")
    flat = {name: [s for _, _, runs in rows[name] for s in runs] for name in names}
    scored = (_mean_and_least([s.score for s in flat[name]]) for name in names)
    efficient = (_mean_and_least([s.efficiency for s in flat[name]]) for name in names)
    inflated = ([s.p50 for s in flat[name]] for name in names)
    lines.append("| **score**, mean / worst | " + " | ".join(scored) + " |")
    lines.append("| efficiency, mean / worst | " + " | ".join(efficient) + " |")
    lines.append(
        "| p50, median / worst | " + " | ".join(f"{median(p50):.2f} / {max(p50):.2f}" for p50 in inflated) + " |"
    )
    return "\n".join(lines)


def _cell(runs: list[Scores]) -> str:
    efficiency, p50 = fmean(s.efficiency for s in runs), fmean(s.p50 for s in runs)
    return f"{efficiency:.2f} / {p50:.1f} / {fmean(s.refusals for s in runs):.2f}"


def _mean_and_least(values: list[float]) -> str:
    return f"{fmean(values):.2f} / {min(values):.2f}"


def chart(names: list[str], rows: dict[str, list[Row]], path: Path) -> None:
    """A bar a limit: the mean score over all shapes, with the worst marked."""
    from matplotlib.figure import Figure

    scored = {name: [s.score for _, _, runs in rows[name] for s in runs] for name in names}
    order = sorted(names, key=lambda name: fmean(scored[name]))
    figure = Figure(figsize=(7, 0.5 * len(order) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(order, [fmean(scored[name]) for name in order], color="#4878a8")
    axes.plot([min(scored[name]) for name in order], order, "D", color="#c44e52", label="worst shape")
    axes.set_xlim(0, 1)
    axes.set_xlabel("score: efficiency x min(1, 2 / p50 inflation) / (1 + refusals per success)")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)


def _one(name: str, shape: Shape, best: Reference) -> tuple[str, Row]:
    return name, (shape, best, judge(name, shape, best))


def main(path: Path) -> None:
    """Run all and write both."""
    names, kinds = limits(), shapes()
    with Pool(2) as pool:
        best = pool.map(reference, kinds, 1)
        jobs = [(name, shape, ref) for name in names for shape, ref in zip(kinds, best, strict=True)]
        done = pool.starmap(_one, jobs, 1)
    rows: dict[str, list[Row]] = {name: [row for of, row in done if of == name] for name in names}
    text = path.read_text(encoding="utf-8")
    head, tail = text[: text.index(BEGIN)], text[text.index(END) :]
    path.write_text(f"{head}{BEGIN}\n{table(names, rows)}\n{tail}", encoding="utf-8")
    chart(names, rows, path.with_suffix(".png"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

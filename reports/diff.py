"""The difference between two runs as Markdown. Fits into a CI step summary."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measure.comparison_result import Comparison
from harness.measure.diff_result import Changed, Diff
from harness.measure.judge.comparison_words import rows
from reports.formats.markdown import escaped

SIGNS = {"no worse": "✔", "worse": "✖", "invalid": "✖", "not enough repeats": "?"}


def markdown(diff: Diff) -> str:
    """The finding first, then what differs in the conditions, then the table of figures."""
    parts = [f"# {SIGNS[diff.status]} {escaped(diff.before)} against {escaped(diff.after)}: {diff.status}"]
    parts.append(escaped(diff.text))
    if diff.obstacles:
        parts += ["**The runs are not of the same load or task. They were compared by force.**"]
        parts.append(_conditions(diff.obstacles))
    parts.append(_figures(diff.comparisons))
    for names, which in ((diff.only_before, "before"), (diff.only_after, "after")):
        if names:
            parts.append(f"Only {which}: {escaped(', '.join(names))}.")
    if diff.changed:
        parts += ["## What differs in the conditions", _conditions(diff.changed)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _figures(comparisons: Sequence[Comparison]) -> str:
    """Effect, interval and finding of each figure; empty without a figure."""
    body = ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in rows(comparisons)]
    head = ["| strategy | figure | before | after | effect | 95 % interval | finding |"]
    return "\n".join([*head, "|---|---|---:|---:|---:|---:|---|", *body]) if body else ""


def _conditions(changed: Sequence[Changed]) -> str:
    lines = [f"| {escaped(one.name)} | {escaped(one.before)} | {escaped(one.after)} |" for one in changed]
    return "\n".join(["| | before | after |", "|---|---|---|", *lines])

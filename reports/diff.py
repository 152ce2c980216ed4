"""The difference between two runs as Markdown, which fits into a CI step summary, and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.measure.comparison_result import Comparison
from harness.measure.diff_result import Changed, Diff
from harness.measure.judge.comparison_words import HEADS, rows
from reports.formats.markdown import escaped

if TYPE_CHECKING:
    from reports.drawing.draw import Drawing
    from reports.judgement_page import Page

STYLES = {"no worse": "valid", "worse": "invalid", "invalid": "invalid", "not enough repeats": "inconclusive"}
SIGNS = {"no worse": "✔", "worse": "✖", "invalid": "✖", "not enough repeats": "?"}


def markdown(diff: Diff, charts: Sequence[str] = ()) -> str:
    """The finding first, then the table of figures, then what differs in the conditions. `charts` are links."""
    parts = [f"# {SIGNS[diff.status]} {escaped(diff.before)} against {escaped(diff.after)}: {diff.status}"]
    parts.append(escaped(diff.text))
    if diff.obstacles:
        parts += ["**The runs are not of the same load or task. They were compared by force.**"]
        parts.append(_conditions(diff.obstacles))
    parts += [_figures(diff.comparisons), *charts]
    for names, which in ((diff.only_before, "before"), (diff.only_after, "after")):
        if names:
            parts.append(f"Only {which}: {escaped(', '.join(names))}.")
    if diff.changed:
        parts += ["## What differs in the conditions", _conditions(diff.changed)]
    return "\n\n".join(part for part in parts if part) + "\n"


def write(diff: Diff, directory: Path) -> list[Path]:
    """Write report.html, report.md and charts/forest.png. Raises OSError."""
    from reports import files, judgement_page
    from reports.charts.forest import NAMES
    from reports.drawing.forest import rows_of

    drawings = judgement_page.draw("After against before", rows_of(diff.comparisons), NAMES)
    links = judgement_page.links(drawings)
    contents = [("html", judgement_page.render(_page(diff, drawings))), ("md", markdown(diff, links))]
    return files.write(directory, contents, drawings)


def _page(diff: Diff, drawings: Sequence[Drawing]) -> Page:
    from reports.judgement_page import Page, grid

    lines = ["The runs are not of the same load or task. They were compared by force."] if diff.obstacles else []
    for names, which in ((diff.only_before, "before"), (diff.only_after, "after")):
        lines += [f"Only {which}: {', '.join(names)}."] if names else []
    changed = [[one.label, one.before, one.after] for one in (*diff.obstacles, *diff.changed)]
    return Page(
        title=f"{diff.after} against {diff.before}",
        style=STYLES[diff.status],
        sign=SIGNS[diff.status],
        status=diff.status,
        headline=diff.text,
        lines=lines,
        before=grid("Figures", ("strategy", "figure", "before", "after", *HEADS[4:]), rows(diff.comparisons)),
        after=grid("What differs in the conditions", ("", "before", "after"), changed),
        drawings=drawings,
    )


def _figures(comparisons: Sequence[Comparison]) -> str:
    """Effect, interval and finding of each figure; empty without a figure."""
    body = ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in rows(comparisons)]
    head = ["| strategy | figure | before | after | effect | 95 % interval | finding |"]
    return "\n".join([*head, "|---|---|---:|---:|---:|---:|---|", *body]) if body else ""


def _conditions(changed: Sequence[Changed]) -> str:
    lines = [f"| {escaped(one.label)} | {escaped(one.before)} | {escaped(one.after)} |" for one in changed]
    return "\n".join(["| | before | after |", "|---|---|---|", *lines])

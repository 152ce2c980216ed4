"""An overview page of several runs: one file that a reader opens first, with links to the full reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.base.files import write_atomically
from harness.measure.judge import slo
from harness.measure.judge.across_servers import across
from harness.measure.result import RunResult
from reports import labels
from reports.charts import charts
from reports.drawing.draw import Drawing, draw
from reports.drawing.theme import LIGHT
from reports.formats import _facts, html
from reports.wording import badge_words

CHARTS = ("trade_off", "outcomes")


@dataclass(frozen=True)
class Act:
    """One run of the overview."""

    name: str  # also the name of its directory
    title: str
    about: str
    result: RunResult


def write(acts: Sequence[Act], title: str, directory: Path) -> Path:
    """Write DIRECTORY/report.html; the full report of each act lies in DIRECTORY/NAME. Raises OSError."""
    path = directory / "report.html"
    write_atomically(path, render(acts, title).encode())
    return path


def render(acts: Sequence[Act], title: str) -> str:
    """The page."""
    advice, findings = across([(act.name, act.result) for act in acts])
    return (
        html.templates()
        .get_template("overview.html.j2")
        .render(
            title=title,
            advice=advice,
            findings=findings,
            acts=[_act(act) for act in acts],
            columns=_facts.COLUMNS,
            **html.themes(),
        )
    )


def _act(act: Act) -> dict[str, Any]:
    style, sign, verdict, meaning = badge_words(act.result)
    tables: list[html.Grid] = [("What set the pace", _facts.PACE, _facts.pace(act.result.cases))]
    tables += [("Failures", _facts.FAILURES, _facts.failures(act.result.cases))]
    return {
        "act": act,
        "badge": (style, sign, verdict, meaning),
        "slo_failed": [labels.printable(line) for line in slo.failed(act.result.cases)],
        "rows": _facts.table(act.result.cases),
        "tables": [table for table in tables if table[2]],
        "drawings": _drawings(act),
    }


def _drawings(act: Act) -> list[Drawing]:
    """Two charts. Their names are unique on the page, because they prefix the ids of the SVGs."""
    known = charts()
    failed = any(case.failures for case in act.result.cases)
    # Bars that are all full say nothing.
    names = [name for name in CHARTS if failed or name != "outcomes"]
    chosen = [(name, known[name]) for name in names if known[name].applies(act.result)]
    return [draw(f"{act.name}-{name}", chart, act.result, png=False, theme=LIGHT) for name, chart in chosen]

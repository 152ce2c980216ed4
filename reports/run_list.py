"""The runs of a folder: the rows of the table, and one page with the trend of each case. Nothing is computed again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.base import units
from harness.measure.diff_result import Changed
from harness.measure.run_list_result import ListedCase, ListedRun, Measured, RunList, Trend
from reports.formats import html
from reports.labels import elide, printable
from reports.trend_drawing import drawn

HEADS = ("started", "run", "kind", "verdict", "case", "throughput", "p50", "p99", "failed")
TEXT_MAX = 160
FIGURES = {
    "completed": "throughput",
    "latency_p50": "latency p50",
    "latency_p99": "latency p99",
    "service_p50": "service time p50",
    "service_p99": "service time p99",
}
STYLES = {"valid": "valid", "passed": "valid", "invalid": "invalid", "failed": "invalid"}


def rows(found: RunList) -> list[tuple[str, ...]]:
    """A row for each case of a run; a capacity search and a sweep have one with their finding."""
    return [row for run in found.runs for row in _rows(run)]


def render(found: RunList, folder: Path, beside: Path) -> str:
    """The page. Links lead from the directory `beside` to the reports; the template escapes all texts."""
    links = {run.path: _link(folder, run.path, beside) for run in found.runs if run.report}
    return (
        html.templates()
        .get_template("runs.html.j2")
        .render(
            found=found,
            # `.` and `..` name no folder to those who see the page elsewhere.
            name=found.folder if folder.name not in {"", ".."} else str(folder.resolve()),
            heads=("run", *HEADS[3:]),
            runs=[_page_run(run, links) for run in found.runs],
            groups=_groups(found.trends, links),
            **html.themes(),
        )
    )


def measured_words(measured: Measured) -> str:
    """The value with its interval, if it has one. A percentile of a backlog is one of service time."""
    if measured.value is None:
        return units.NONE
    words = value_words(measured.value, measured.unit)
    words = units.plus_minus(words, measured.value, measured.low, measured.high)
    return f"{words} (service)" if measured.figure.startswith("service") else words


def value_words(value: float, unit: str) -> str:
    """With its unit."""
    return units.seconds(value) if unit == "s" else units.rate(value)


def _rows(run: ListedRun) -> Iterator[tuple[str, ...]]:
    head = (_started(run.started_at), printable(run.path), run.kind + (", simulated" if run.simulated else ""))
    status = run.status + (", partial" if run.partial else "")
    if not _has_figures(run):
        yield (*head, status, elide(printable(run.text), TEXT_MAX), "", "", "", "")
        return
    for case in run.cases:
        yield (*head, status, *_cells(case))
        # The run is named once.
        head, status = ("", "", ""), ""


def _has_figures(run: ListedRun) -> bool:
    """The cases of a sweep are its levels; its finding says what follows from them, as that of a capacity search."""
    return run.kind not in {"sweep", "capacity"} and bool(run.cases)


def _cells(case: ListedCase) -> tuple[str, ...]:
    name = printable(case.name) + (" (SLO missed)" if case.slo_passed is False else "")
    return (name, *(measured_words(figure) for figure in case.figures), units.share(case.failed_share))


def _started(text: str) -> str:
    """To the minute, as the run has it."""
    return printable(text)[:16].replace("T", " ") or units.NONE


def _page_run(run: ListedRun, links: dict[str, str]) -> dict[str, Any]:
    """The rows of a run on the page: its name once, then a row for each case, then the finding."""
    rows = list(_rows(run))
    figures = [cells[4:] for cells in rows] if _has_figures(run) else []
    started, name, kind, status = rows[0][:4]
    return {
        "name": name,
        "link": links.get(run.path, ""),
        "started": started,
        "kind": kind,
        "status": status,
        "style": STYLES.get(run.status, "inconclusive"),
        "rows": figures,
        "finding": printable(run.text) or ("" if figures else units.NONE),
    }


def _link(folder: Path, path: str, beside: Path) -> str:
    """The report of a run, relative to the page. Quoted, so that a name cannot become a scheme such as javascript."""
    if "\N{REPLACEMENT CHARACTER}" in path:
        return ""
    relative = os.path.relpath(folder / path / "report.html", beside)
    return "./" + quote(relative.replace(os.sep, "/"), errors="surrogateescape")


def _groups(trends: Sequence[Trend], links: dict[str, str]) -> list[dict[str, Any]]:
    """The trends by case, each with its charts and with what differs between its runs."""
    groups: dict[tuple[str, str, str, bool], list[Trend]] = {}
    for trend in trends:
        # One run is no trend; its figures are in the table.
        if len(trend.points) < 2:
            continue
        groups.setdefault((trend.case, trend.scenario, trend.task, trend.simulated), []).append(trend)
    return [
        {
            "case": printable(case),
            "about": printable(", ".join([scenario, task, *(["simulated"] if simulated else [])])),
            "charts": [drawn(FIGURES.get(one.figure, one.figure), one, links, value_words) for one in of],
            "broken": _differences(of[0], "broken"),
            "changed": _differences(of[0], "changed"),
        }
        for (case, scenario, task, simulated), of in groups.items()
    ]


def _differences(trend: Trend, which: str) -> list[str]:
    """Before which run what differs."""
    found = []
    for point in trend.points:
        changes: list[Changed] = getattr(point, which)
        if changes:
            words = "; ".join(f"{one.label}: {one.before} → {one.after}" for one in changes)
            found.append(elide(printable(f"{point.path}: {words}"), 600))
    return found

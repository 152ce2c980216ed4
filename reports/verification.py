"""A verification of a fitted profile: Markdown, a page, and a chart of the errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.base import units
from harness.measure.comparison_result import FigureComparison
from harness.measure.verification_result import Verification, VerifiedRow
from reports.formats.markdown import escaped

if TYPE_CHECKING:
    from reports.drawing.forest import Kind, Row

STYLES = {
    "supported": "valid",
    "refuted": "invalid",
    "not established": "inconclusive",
    "bounded below": "inconclusive",
}
SIGNS = {"supported": "✔", "refuted": "✖", "not established": "?", "bounded below": "?"}
TITLES = {
    "rate": "answers/s",
    "ttft_p50": "TTFT p50",
    "ttft_p95": "TTFT p95",
    "itl_p50": "ITL p50",
    "refused": "refused",
}
HEADS = ("load", "figure", "server", "mock", "error", "floor", "tolerance", "row")
HOW = (
    "A row per figure: a point at mock over server, a bar of the noise floor on both sides. The grey band is the floor "
    "around no error, the dashed line the tolerance above it."
)
NAMES: dict[Kind, str] = {"good": "supported", "bad": "refuted", "unclear": "not established"}
_KINDS: dict[str, Kind] = {"supported": "good", "refuted": "bad"}
NOTE = (
    "Latencies above 0.9 of the capacity refute nothing: there they have the error of the service time, times 1 / "
    "(1 - share), which stands beside their rows."
)


def table(found: Verification) -> list[list[str]]:
    """The rows as text."""
    return [_cells(row) for row in found.rows]


def _cells(row: VerifiedRow) -> list[str]:
    if row.figure == "refused":
        error = "–" if row.error is None else f"{100 * row.error:+.1f} points"
        show = units.share
        bounds = [f"{100 * row.floor:.1f} points", f"{100 * row.tolerance:.0f} points"]
    else:
        error = "–" if row.error is None else units.change(row.error)
        show = units.rate if row.figure == "rate" else units.seconds
        bounds = [units.share(row.floor), units.share(row.tolerance)]
    values = ["–" if value is None else show(value) for value in (row.measured, row.played)]
    status = row.status + (f" (x {row.sensitivity:.3g})" if row.sensitivity else "")
    return [row.load, TITLES.get(row.figure, row.figure), *values, error, *bounds, status]


def _lines(found: Verification) -> list[str]:
    lines = [
        f"Profile {found.profile}, parameters {found.parameters_sha256[:12]}, against {found.target}, {found.date}."
    ]
    if found.void_proof:
        lines.append("The profile was changed after it was fitted; these are the errors of the changed one.")
    if found.invalid:
        lines.append(
            f"{len(found.invalid)} runs were not valid measurements: {'; '.join(dict.fromkeys(found.invalid[:3]))}"
        )
    equal = len(found.schedules)
    note = [NOTE] if any(row.sensitivity for row in found.rows) else []
    return [*lines, f"{equal} loads had one schedule on both servers, by SHA-256.", *note]


def markdown(found: Verification, charts: Sequence[str] = ()) -> str:
    """The verdict, the table and its conditions."""
    parts = [f"# {SIGNS[found.status]} {escaped(found.profile)}: {found.status}", escaped(found.text)]
    rows = [f"| {' | '.join(escaped(cell) for cell in row)} |" for row in table(found)]
    parts.append("\n".join([f"| {' | '.join(HEADS)} |", "|" + "---|" * len(HEADS), *rows]))
    parts += [*charts, *(escaped(line) for line in _lines(found))]
    return "\n\n".join(parts) + "\n"


def chart_rows(found: Verification) -> list[Row]:
    """The rows of the chart: figures with an error."""
    from reports.drawing.forest import Row

    made = []
    for row in found.rows:
        if row.error is None or row.status == "bounded below":
            continue
        ratio = row.figure != "refused"
        center = 1 + row.error if ratio else row.error
        figure = FigureComparison(
            TITLES.get(row.figure, row.figure),
            "lower",
            "ratio" if ratio else "difference",
            effect=center,
            low=center - row.floor,
            high=center + row.floor,
            limit=row.tolerance,
        )
        made.append(Row(row.load, figure, _KINDS.get(row.status, "unclear"), row.floor))
    return made


def write(found: Verification, directory: Path) -> list[Path]:
    """Write report.html, report.md, charts/forest.png. Raises OSError."""
    from reports import files, judgement_page
    from reports.judgement_page import Page, grid

    drawings = judgement_page.draw("Mock over server", chart_rows(found), NAMES, HOW)
    page = Page(
        title=f"{found.profile} against {found.target}",
        style=STYLES[found.status],
        sign=SIGNS[found.status],
        status=found.status,
        headline=found.text,
        lines=_lines(found),
        before=grid("Errors", HEADS, table(found)),
        drawings=drawings,
    )
    contents = [("html", judgement_page.render(page)), ("md", markdown(found, judgement_page.links(drawings)))]
    return files.write(directory, contents, drawings)

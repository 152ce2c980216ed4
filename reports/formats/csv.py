"""report.csv: one row for each repeat of each case."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.measure.result import RunResult
from reports.formats._rows import COLUMNS, rows

if TYPE_CHECKING:
    from reports.drawing.draw import Drawing

SUFFIX = "csv"
CHARTS = False
FORMULA_SIGNS = ("=", "+", "-", "@")
"""A text that begins so would be computed by a spreadsheet."""


def render(result: RunResult, drawings: Sequence[Drawing] = ()) -> str:
    """The whole file."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    for row in rows(result):
        writer.writerow({column: cell(value) for column, value in row.items()})
    return out.getvalue()


def cell(value: Any) -> Any:
    """As a spreadsheet reads it: no text is a formula."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_SIGNS) else value

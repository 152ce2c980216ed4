"""Shows the list of runs at the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.measure.run_list_result import RunList

STYLES = {"valid": "green", "passed": "green", "invalid": "bold red", "failed": "bold red", "inconclusive": "yellow"}
PLAIN_WIDTH = 160


def show(found: RunList, page: Path | None = None) -> None:
    """A row for each case of each run, the newest first, then what was left out, in a line each."""
    from rich.console import Console
    from rich.text import Text

    from reports.labels import printable

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_WIDTH)
    if found.runs:
        console.print(_table(found))
    else:
        console.print(Text(printable(f"{found.folder}: no runs to list")))
    for one in found.left:
        console.print(Text(printable(f"not listed: {one.path}: {one.reason}"), style="yellow"), soft_wrap=True)
    if page is not None:
        console.print(Text(printable(f"page: {page}")), soft_wrap=True)


def _table(found: RunList) -> Any:
    from rich.table import Table
    from rich.text import Text

    from reports.run_list import HEADS, rows

    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in HEADS:
        table.add_column(head, overflow="fold", justify="right" if head in HEADS[5:] else "left")
    for started, path, kind, status, *cells in rows(found):
        style = STYLES.get(status.partition(",")[0], "")
        table.add_row(started, Text(path), kind, Text(status, style=style), *(Text(cell) for cell in cells))
    return table

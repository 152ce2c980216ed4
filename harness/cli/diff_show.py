"""Shows the difference between two runs at the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.measure.diff_result import Diff

STYLES = {
    "worse": "bold red",
    "better": "green",
    "no worse": "bold green",
    "not enough repeats": "bold yellow",
    "invalid": "bold red",
}
PLAIN_WIDTH = 140


def show(diff: Diff, written: Sequence[Path] = ()) -> None:
    """Print what differs in the conditions, then the table of figures, then the finding, then the reports."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_WIDTH)
    console.print(Text(f"before: {diff.before}   after: {diff.after}"))
    for one in diff.obstacles:
        console.print(Text(f"NOT THE SAME: {one.label}: {one.before} -> {one.after}", style="bold red"))
    for one in diff.changed:
        console.print(Text(f"differs: {one.label}: {one.before} -> {one.after}", style="yellow"))
    for names, which in ((diff.only_before, "before"), (diff.only_after, "after")):
        if names:
            console.print(Text(f"only {which}: {', '.join(names)}", style="yellow"))
    console.print(comparison_table(diff.comparisons, "before", "after"))
    console.print(Text(diff.text))
    console.print(Text(f"diff: {diff.status}", style=STYLES[diff.status]))
    for path in written:
        if path.name.startswith("report."):
            console.print(Text(f"report: {path}"), soft_wrap=True)


def comparison_table(comparisons: Any, first: str, second: str) -> Any:
    """Figures of the cases with effect, interval and finding."""
    from rich.table import Table
    from rich.text import Text

    from harness.measure.judge.comparison_words import rows

    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("strategy", "figure"):
        table.add_column(head, overflow="fold")
    for head in (first, second, "effect", "95 % interval"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("finding", overflow="fold")
    before = None
    for name, *cells, finding in rows(comparisons):
        table.add_row("" if name == before else name, *cells, Text(finding, style=STYLES.get(finding, "")))
        before = name
    return table

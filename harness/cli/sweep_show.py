"""Shows a sweep at the terminal: a row for each level, then what to set."""

from __future__ import annotations

from typing import Any

from harness.measure.judge.sweep.wording import columns, rows
from harness.measure.result import RunResult
from harness.measure.sweep_result import SweepResult

WIDE_ONLY = {"95 % interval", "p95", "in flight"}
"""Hidden on a narrow terminal."""
STYLES = {"knee": "green", "highest measured": "green", "lowest measured": "green", "cliff": "red"}


def show_sweep(result: RunResult, console: Any, brief: bool, narrow: int) -> None:
    """Print the table and the findings, unless `brief`, and the headline."""
    from rich.text import Text

    if not brief and result.sweep is not None:
        console.print(_table(result.sweep, set() if console.width >= narrow else WIDE_ONLY))
    console.print(Text(result.headline, style="bold"))
    for finding in () if brief else result.findings:
        console.print(Text(f"- {finding}"))


def _table(found: SweepResult, hidden: set[str]) -> Any:
    from rich.table import Table
    from rich.text import Text

    heads = columns(found)
    shown = [place for place, head in enumerate(heads) if head not in hidden]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place in shown:
        table.add_column(heads[place], justify="right" if heads[place] else "left", overflow="fold")
    for cells in rows(found):
        mark = cells[-1].split(", ")[0]
        table.add_row(*(Text(cells[place]) for place in shown), style=STYLES.get(mark, ""))
    return table

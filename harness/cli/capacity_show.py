"""Shows a capacity search at the terminal: a table of probes, then the answers."""

from __future__ import annotations

from typing import Any

from harness.measure.capacity_result import CapacityResult, Probe
from harness.measure.judge.capacity.wording import COLUMNS, answer_lines, row

STYLES = {"passed": "green", "failed": "red", "unresolved": "yellow", "invalid": "magenta"}


def show_capacity(found: CapacityResult, console: Any, brief: bool) -> None:
    """Print the probes by load, unless `brief`, and the answers."""
    from rich.text import Text

    for by in dict.fromkeys(answer.by for answer in found.answers):
        if not brief:
            console.print(_table(by, [probe for probe in found.probes if probe.by == by]))
        for answer in found.answers:
            if answer.by == by:
                for line in answer_lines(answer):
                    console.print(Text(line, style="" if line.startswith(" ") else "bold"))


def _table(by: str, probes: list[Probe]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(COLUMNS):
        heading = by if number == 0 else column
        table.add_column(heading, justify="left" if column in {"state", "figures"} else "right", overflow="fold")
    for probe in sorted(probes, key=lambda one: (one.load, one.confirmation)):
        cells = [Text(cell) for cell in row(probe)]
        cells[1].stylize(STYLES[probe.states[0]] if probe.states else "")
        table.add_row(*cells)
    return table

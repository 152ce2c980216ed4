"""Shows a capacity search at the terminal: a table of probes, then the answers."""

from __future__ import annotations

from typing import Any

from harness.measure.capacity_result import CapacityResult, Probe
from harness.measure.judge.capacity.answers import to_set
from harness.measure.judge.capacity.wording import answer_lines, columns, row

LEFT = (1, 5)
"""The places of the states and the figures, which are texts."""
STYLES = {"passed": "green", "failed": "red", "unresolved": "yellow", "invalid": "magenta"}


def show_capacity(found: CapacityResult, console: Any, brief: bool) -> None:
    """Print the probes by load, unless `brief`, and the answers."""
    from rich.text import Text

    for by in dict.fromkeys(answer.by for answer in found.answers):
        if not brief:
            console.print(_table(columns(by, found), [probe for probe in found.probes if probe.by == by]))
        for answer in found.answers:
            if answer.by == by:
                said, *notes = answer_lines(answer)
                advice = to_set(answer)
                for line in [said, f"  {advice}."] if advice else [said]:
                    console.print(Text(line, style="bold"))
                for note in notes:
                    console.print(Text(note))


def _table(heads: list[str], probes: list[Probe]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, head in enumerate(heads):
        table.add_column(head, justify="left" if number in LEFT else "right", overflow="fold")
    for probe in sorted(probes, key=lambda one: (one.load, one.confirmation)):
        cells = [Text(cell) for cell in row(probe)]
        cells[1].stylize(STYLES[probe.states[0]] if probe.states else "")
        table.add_row(*cells)
    return table

"""Charts, one module each. Every module in this folder that follows the `Chart` protocol is drawn.

A chart is a module with `TITLE`, `HOW` (how to read it, one or two sentences), `ORDER` (its place on the page),
`applies(result)`, `figure(result, theme)` and `in_words(result)` (its figures as text, for readers who cannot see it).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol, cast

from harness.base.discovery import modules
from harness.measure.result import RunResult
from reports.drawing.theme import Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Chart(Protocol):
    """One figure of a report."""

    TITLE: str
    HOW: str
    ORDER: int

    def applies(self, result: RunResult, /) -> bool:
        """Whether the result has the data of the chart."""
        ...

    def figure(self, result: RunResult, theme: Theme, /) -> Figure:
        """Draw it; called under `sheet.settings(theme)`."""
        ...

    def in_words(self, result: RunResult, /) -> str:
        """The content of the chart as text."""
        ...


def names() -> list[str]:
    """Names of the charts in this folder."""
    return modules(__path__)


def charts() -> dict[str, Chart]:
    """The charts by name, in the order of the page."""
    found = {name: cast("Chart", importlib.import_module(f"{__name__}.{name}")) for name in names()}
    return dict(sorted(found.items(), key=lambda entry: (entry[1].ORDER, entry[0])))

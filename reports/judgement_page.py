"""report.html of a judgement on two runs: of a gate, or of a difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports import labels
from reports.drawing import forest
from reports.drawing.draw import Drawing, drawn
from reports.drawing.theme import Theme
from reports.formats import html
from reports.formats.markdown import escaped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHART = "forest"


@dataclass(frozen=True)
class Page:
    """The content of the page, from top to bottom."""

    title: str
    style: str  # valid, invalid or inconclusive
    sign: str
    status: str
    headline: str
    lines: Sequence[str] = ()
    before: Sequence[html.Grid] = ()  # tables above the chart
    after: Sequence[html.Grid] = ()
    drawings: Sequence[Drawing] = ()
    reports: Sequence[str] = ()  # directories beside the page that have a report of their own


def render(page: Page) -> str:
    """The page; the template escapes all text from outside."""
    return html.templates().get_template("judgement.html.j2").render(page=page, **html.themes())


def grid(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[html.Grid]:
    """A table with printable cells; none without rows."""
    return [(title, heads, [[labels.printable(cell) for cell in row] for row in rows])] if rows else []


def draw(
    title: str,
    rows: Sequence[forest.Row],
    names: dict[forest.Kind, str],
    how: str = forest.HOW,
    png: bool = True,
) -> list[Drawing]:
    """The forest chart; none without an interval. An error is reported on the page."""
    if not any(row.figure.low is not None or row.figure.high is not None for row in rows):
        return []
    how_to_read = forest.how(rows, how)

    def make(theme: Theme) -> Figure:
        return forest.forest(theme, title, rows, names, how)

    try:
        return [drawn(CHART, title, how_to_read, forest.words(rows), make, png=png)]
    except Exception as error:
        return [Drawing(CHART, title, how_to_read, "", error=f"{type(error).__name__}: {error}")]


def links(drawings: Sequence[Drawing]) -> list[str]:
    """Pictures for the Markdown."""
    return [f"![{escaped(one.title)}: {escaped(one.words)}](charts/{one.name}.png)" for one in drawings if one.png]

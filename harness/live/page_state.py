"""The content of the page, as plain data. Its texts are ready to be shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import msgspec

from harness.live.exposition import Family


class Tile(msgspec.Struct, frozen=True):
    """One figure."""

    key: str
    label: str
    text: str
    note: str = ""


class Line(msgspec.Struct, frozen=True):
    """One line of a chart; null where there is no value."""

    name: str
    style: str  # ok, bad, mid or quiet
    values: list[float | None]
    last: str  # the last value with its unit


class Chart(msgspec.Struct, frozen=True):
    """Lines over the same instants."""

    key: str
    title: str
    top: float  # the highest value
    top_text: str
    lines: list[Line]
    mean: str  # what a value is, in words


class Row(msgspec.Struct, frozen=True):
    """One row of a table."""

    state: str  # waiting, running, played or result
    cells: list[str]
    values: dict[str, float | None] = {}  # the figures behind the texts


class Table(msgspec.Struct, frozen=True):
    """A table; its first column names the rows."""

    key: str
    title: str
    heads: list[str]
    rows: list[Row]


class VerdictState(msgspec.Struct, frozen=True):
    """The verdict so far, or the last one."""

    status: str  # none, valid, invalid, inconclusive, passed or failed
    words: str
    reasons: list[str] = []


class PageState(msgspec.Struct, frozen=True):
    """Everything, sent whole each time: a page that comes late or again needs no history."""

    run: str  # identifies the run; the next one on the same address has another
    title: str
    command: str
    phase: str  # starting, playing, ending or over
    said: str  # the present activity, in one line
    stoppable: bool
    verdict: VerdictState
    share: float | None = None  # of the trial that is played
    tiles: list[Tile] = []
    seconds: list[int] = []  # of the charts
    charts: list[Chart] = []
    tables: list[Table] = []
    headline: str = ""
    findings: list[str] = []
    lines: list[str] = []  # what happened, the last at the end
    has_report: bool = False  # whether /report has it now
    report: str = ""  # where the report is on the machine of the run, in words


class Board(Protocol):
    """Collects the state of a run. Everything is called in the thread of the live page."""

    @property
    def stoppable(self) -> bool:
        """Whether a stop is possible now."""

    def on(self, event: str, facts: dict[str, Any]) -> None:
        """Something happened."""

    def read(self) -> None:
        """Read new records; called once a second."""

    def state(self) -> PageState:
        """The present content of the page."""

    def families(self) -> Iterable[Family]:
        """The metrics for Prometheus."""


def chart(
    key: str,
    title: str,
    mean: str,
    words: Callable[[float | None], str],
    lines: Sequence[tuple[str, str, Sequence[float | None]]],
) -> Chart:
    """A chart of lines (name, style, values); those without a value are left out."""
    drawn = [(name, style, list(values)) for name, style, values in lines if any(v is not None for v in values)]
    top = max((value for _, _, values in drawn for value in values if value is not None), default=0.0)
    made = [Line(name, style, values, words(_last(values))) for name, style, values in drawn]
    return Chart(key, title, top, words(top), made, mean)


def _last(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)

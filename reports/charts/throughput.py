"""Throughput and makespan, a labelled bar per case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.base import units
from harness.measure.result import Case, RunResult
from reports.drawing.bars import Panel, bars
from reports.drawing.theme import Theme
from reports.wording import per_case

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Throughput and makespan"
HOW = "Left: successful requests per second, longer is better. Right: time until the last answer, shorter is better."
ORDER = 10


def applies(result: RunResult) -> bool:
    """Whether any case has a makespan."""
    return any(case.makespan_s is not None for case in result.cases)


def figure(result: RunResult, theme: Theme) -> Figure:
    """Two panels of bars over shared rows."""
    panels = [
        Panel(
            "throughput, ok/s", lambda case: case.rates_per_s.completed, units.rate, "blue",
            reference=lambda case: case.rates_per_s.offered, reference_words="offered rate (arrivals)",
        ),
        Panel("makespan, s", lambda case: case.makespan_s, units.seconds, "orange", hatch="////"),
    ]  # fmt: skip
    return bars(result, theme, TITLE, HOW, panels)


def in_words(result: RunResult) -> str:
    """Both figures of each case."""

    def words(case: Case) -> str:
        return f"{units.rate(case.rates_per_s.completed)} ok, makespan {units.seconds(case.makespan_s)}"

    return per_case(result, words)

"""Client resources of each strategy: CPU per request and peak memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.base import units
from harness.measure.result import Case, RunResult
from reports.drawing.bars import Panel, bars
from reports.drawing.theme import Theme
from reports.wording import per_case

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Client CPU and memory"
HOW = "CPU time of the client per request, and its peak resident memory. Shorter is better."
ORDER = 90


def applies(result: RunResult) -> bool:
    """Whether either was measured for any case."""
    return any(
        case.resources.client_cpu_us_per_request is not None or case.resources.client_rss_max_mb is not None
        for case in result.cases
    )


def figure(result: RunResult, theme: Theme) -> Figure:
    """Two panels of bars over shared rows."""
    panels = [
        Panel(
            "client CPU, µs per request", lambda case: case.resources.client_cpu_us_per_request,
            units.microseconds, "green",
        ),
        Panel(
            "peak resident memory, MB", lambda case: case.resources.client_rss_max_mb,
            units.megabytes, "purple", hatch="\\\\\\\\",
        ),
    ]  # fmt: skip
    return bars(result, theme, TITLE, HOW, panels)


def in_words(result: RunResult) -> str:
    """Both figures of each case."""

    def words(case: Case) -> str:
        used = case.resources
        cpu = units.microseconds(used.client_cpu_us_per_request)
        return f"{cpu} of CPU per request, {units.megabytes(used.client_rss_max_mb)} of memory"

    return per_case(result, words)

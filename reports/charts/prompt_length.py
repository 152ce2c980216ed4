"""Latency by the length of the prompt, of requests whose prompt tokens the server counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.base import units
from harness.measure.result import Case, RunResult
from harness.measure.token_result import LengthBin
from reports.drawing.grid import Axis, grid, height
from reports.drawing.rows import note
from reports.drawing.scale import Scale, scale_for
from reports.drawing.sheet import SMALL, Sheet
from reports.drawing.theme import Theme
from reports.wording import per_case

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Latency by length of the prompt"
HOW = (
    "Requests in bins of prompt tokens, each twice as wide as the one before. Line and dot: median; bar: up to p95, "
    "where a bin has the 59 requests that it needs. E2E is from sent to the last content event."
)
ORDER = 27
Time = Callable[[LengthBin], float | None]
TIMES: list[tuple[str, str, Time, Time]] = [
    ("end to end", "blue", lambda one: one.e2e_p50_s, lambda one: one.e2e_p95_s),
    ("time to first token", "vermillion", lambda one: one.ttft_p50_s, lambda one: one.ttft_p95_s),
    ("time per output token", "green", lambda one: one.tpot_p50_s, lambda one: one.tpot_p95_s),
]


def bins(case: Case) -> list[LengthBin]:
    """The bins of a case; none without tokens."""
    return [] if case.tokens is None else case.tokens.by_prompt_length


def applies(result: RunResult) -> bool:
    """Whether any case has prompts of different lengths."""
    return any(len(bins(case)) > 1 for case in result.cases)


def figure(result: RunResult, theme: Theme) -> Figure:
    """A panel per case on the same scales."""
    cases, roles = result.cases, theme.roles()
    sheet = Sheet(theme, TITLE, note(result, HOW), height(cases))
    # Answers that came whole have no first token.
    shown = [time for time in TIMES if any(time[2](one) is not None for case in cases for one in bins(case))]
    sheet.key(0.06, [(name, {"color": roles[role], "ls": "-", "marker": "o", "ms": 4}) for name, role, *_ in shown])
    lengths = scale_for([edge for case in cases for one in bins(case) for edge in (one.low, one.high + 1)], log=True)
    for case, axes in grid(sheet, cases, Axis(lengths, "prompt tokens, log scale", 8), Axis(_scale(cases), "")):
        if not bins(case):
            axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", color=theme.muted, size=SMALL)
        for number, (_, role, median, tail) in enumerate(shown):
            _draw(axes, bins(case), roles[role], median, tail, 1 + 0.05 * (number - 1))
    return sheet.figure


def _draw(axes: Axes, of: list[LengthBin], color: str, median: Time, tail: Time, shift: float) -> None:
    """Bars are set apart sideways by `shift`, a factor."""
    found = [(one.low * 2**0.5 * shift, value, tail(one)) for one in of if (value := median(one)) is not None]
    axes.plot([at for at, *_ in found], [value for _, value, _ in found], "o-", color=color, ms=4, lw=1.4)
    for at, value, high in found:
        if high is not None:
            axes.plot([at, at], [value, high], color=color, lw=4, alpha=0.4, solid_capstyle="butt")


def _scale(cases: list[Case]) -> Scale:
    values = [of(one) for case in cases for one in bins(case) for *_, median, tail in TIMES for of in (median, tail)]
    return scale_for([value for value in values if value is not None], units.seconds, log=None)


def in_words(result: RunResult) -> str:
    """The shortest and the longest prompts of each case."""

    def words(case: Case) -> str:
        found = [one for one in bins(case) if one.e2e_p50_s is not None]
        ends = [found[0], found[-1]] if len(found) > 1 else found
        return (
            "; ".join(
                f"{one.low} to {one.high} tokens: {_first(one)}end to end {units.seconds(one.e2e_p50_s)}"
                for one in ends
            )
            or "too few requests"
        )

    return per_case(result, words)


def _first(one: LengthBin) -> str:
    return "" if one.ttft_p50_s is None else f"first token {units.seconds(one.ttft_p50_s)}, "

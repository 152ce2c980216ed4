"""The probes of a capacity search against load: what decided, where it holds, and where it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.base import units
from harness.measure.capacity_result import By, Capacity, Figure, Probe, State
from harness.measure.judge.capacity.answers import QUANTITY
from harness.measure.judge.capacity.wording import answer_lines
from harness.measure.result import RunResult
from reports import labels
from reports.drawing.scale import scale_for
from reports.drawing.sheet import EDGE, SMALL, WIDTH, Sheet
from reports.drawing.theme import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawn

TITLE = "Probes of the capacity search"
HOW = (
    "A point per probe with its 95 % interval over the trials. The dashed line is the SLO's limit, the shaded band the "
    "answer: from the highest load that passed to the lowest that failed. A ring is a long run."
)
ORDER = 1
HEIGHT, GAP = 2.4, 0.62
MARKS: dict[State, str] = {"passed": "o", "failed": "X", "unresolved": "s", "invalid": "D"}


def applies(result: RunResult) -> bool:
    """Whether the run searched a capacity and has a probe with a figure."""
    return result.capacity is not None and any(_points(result, answer) for answer in _shown(result))


def figure(result: RunResult, theme: Theme) -> Drawn:
    """A panel for each quantity, of its first tier."""
    shown = [answer for answer in _shown(result) if _points(result, answer)]
    sheet = Sheet(theme, TITLE, HOW, len(shown) * (HEIGHT + GAP) + 0.3)
    sheet.key(
        0.06,
        [
            (state, {"color": color, "marker": MARKS[state], "ls": "", "ms": 5})
            for state, color in _colors(theme).items()
            if any(state in probe.states for probe in (result.capacity.probes if result.capacity else []))
        ],
    )
    left = 0.82
    for place, answer in enumerate(shown):
        axes = sheet.axes(left, 0.35 + place * (HEIGHT + GAP), WIDTH - left - EDGE, HEIGHT)
        _panel(axes, answer, _points(result, answer), theme)
    return sheet.figure


def _panel(axes: Axes, answer: Capacity, points: list[tuple[Probe, Figure]], theme: Theme) -> None:
    loads = [probe.load for probe, _ in points]
    limit = points[0][1].limit
    words = units.percent if points[0][1].condition.startswith("errors") else units.seconds
    scale_for(loads, log=max(loads) > 4 * min(loads)).apply(axes.xaxis, 9)
    ends = [end for _, one in points for end in (one.value, one.low, one.high) if end]
    scale_for([*ends, limit], words).apply(axes.yaxis, 6)
    if answer.low is not None and answer.high is not None:
        axes.axvspan(answer.low, answer.high, color=theme.blue, alpha=0.15, lw=0)
    axes.axhline(limit, color=theme.ink, lw=1.0, ls=(0, (4, 2)))
    for probe, one in points:
        _point(axes, probe, one, _colors(theme)[probe.states[0]])
    axes.set_ylabel(points[0][1].condition, labelpad=4, size=SMALL)
    axes.set_xlabel(QUANTITY[answer.by], labelpad=3)


def _point(axes: Axes, probe: Probe, one: Figure, color: str) -> None:
    assert one.value is not None  # noqa: S101 - `_points` chose those with a value
    low, high = one.low or one.value, one.high or one.value
    axes.plot([probe.load] * 2, [low, high], color=color, lw=1.4, alpha=0.8)
    size = 8 if probe.confirmation else 5
    face = "none" if probe.confirmation else color
    axes.plot([probe.load], [one.value], color=color, marker=MARKS[probe.states[0]], ms=size, mfc=face, ls="")


def _colors(theme: Theme) -> dict[State, str]:
    return {
        "passed": theme.green,
        "failed": theme.vermillion,
        "unresolved": theme.orange,
        "invalid": theme.muted,
    }


def _shown(result: RunResult) -> list[Capacity]:
    """The first tier of each quantity."""
    first: dict[By, Capacity] = {}
    for answer in result.capacity.answers if result.capacity else []:
        first.setdefault(answer.by, answer)
    return list(first.values())


def _points(result: RunResult, answer: Capacity) -> list[tuple[Probe, Figure]]:
    """The probes along one quantity with the figure of the first condition."""
    probes = result.capacity.probes if result.capacity else []
    own = [(probe, probe.figures[0]) for probe in probes if probe.by == answer.by and probe.figures and probe.states]
    return sorted(((p, f) for p, f in own if f.value is not None and f.value > 0), key=lambda pair: pair[0].load)


def in_words(result: RunResult) -> str:
    """The answers."""
    found = result.capacity.answers if result.capacity else []
    return labels.printable("; ".join(answer_lines(answer)[0] for answer in found))

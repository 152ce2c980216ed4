"""The probes of a capacity search against load: what decided, where it holds, and where it does not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.base import units
from harness.measure.capacity_result import By, Capacity, CapacityResult, Figure, Probe, State
from harness.measure.judge.capacity.answers import QUANTITY
from harness.measure.judge.capacity.wording import answer_lines
from harness.measure.result import RunResult
from reports import labels
from reports.drawing.scale import Scale, scale_for
from reports.drawing.sheet import EDGE, LINE, SMALL, WIDTH, Sheet, fitted
from reports.drawing.theme import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawn

TITLE = "Probes of the capacity search"
HOW = (
    "A point per probe with its 95 % interval over the trials. A dashed line is a limit of an SLO, a shaded band an "
    "answer: from the highest load that passed to the lowest that failed. A ring is a long run."
)
SEVERAL = (
    " Colours say whether the SLO with the tightest limit of the panel holds. A figure of 0 lies on the lower edge."
)
ORDER = 1
HEIGHT, GAP = 2.4, 0.62
LOW_HEIGHT = 1.7
"""Height of a panel where there are more than two."""
LEFT = 0.82
_SMALL: dict[str, Any] = {"textcoords": "offset points", "size": SMALL}
MARKS: dict[State, str] = {"passed": "o", "failed": "X", "unresolved": "s", "invalid": "D"}


@dataclass(frozen=True)
class Panel:
    """One figure along one quantity."""

    name: str
    answers: list[Capacity]
    # The conditions on the figure, the tightest first.
    limits: list[Figure]
    # Each probe with its figure, in order of load.
    points: list[tuple[Probe, Figure]]
    # Place of the SLO that the colours are of.
    tier: int


def applies(result: RunResult) -> bool:
    """Whether the run searched a capacity and has a probe with a figure."""
    return result.capacity is not None and bool(_panels(result.capacity))


def figure(result: RunResult, theme: Theme) -> Drawn:
    """A panel for each quantity and each figure that an SLO limits."""
    found = result.capacity
    assert found is not None  # noqa: S101 - `applies` has looked
    panels, tiers = _panels(found), found.settings.tiers
    slos = [f"SLO {place}: {tier}" for place, tier in enumerate(tiers, 1)] if len(tiers) > 1 else []
    height = HEIGHT if len(panels) <= 2 else LOW_HEIGHT
    # A line above each panel for the name of each band.
    above = LINE * len(slos)
    step = height + GAP + above
    begins = 0.35 + LINE * len(slos)
    several = bool(slos) or len(panels) > len({panel.answers[0].by for panel in panels})
    sheet = Sheet(theme, TITLE, HOW + (SEVERAL if several else ""), len(panels) * step + begins - 0.05)
    sheet.key(0.06, _key(theme, found.probes))
    for number, slo in enumerate(slos):
        text = fitted(labels.printable(slo), WIDTH - 2 * EDGE, SMALL)
        sheet.text(EDGE, sheet.top + 0.3 + LINE * number, text, size=SMALL, color=theme.muted)
    for place, panel in enumerate(panels):
        axes = sheet.axes(LEFT, begins + above + place * step, WIDTH - LEFT - EDGE, height)
        _draw(axes, panel, theme, named=bool(slos))
    return sheet.figure


def _key(theme: Theme, probes: list[Probe]) -> list[tuple[str, dict[str, object]]]:
    """The states that occur."""
    return [
        (state, {"color": color, "marker": MARKS[state], "ls": "", "ms": 5})
        for state, color in _colors(theme).items()
        if any(state in probe.states for probe in probes)
    ]


def _draw(axes: Axes, panel: Panel, theme: Theme, named: bool) -> None:
    loads = [probe.load for probe, _ in panel.points]
    scale_for(loads, log=max(loads) > 4 * min(loads)).apply(axes.xaxis, 9)
    words = units.percent if panel.name.startswith("errors") else units.seconds
    ends = [end for _, one in panel.points for end in (one.value, one.low, one.high) if end]
    scale = scale_for([*ends, *(one.limit for one in panel.limits)], words)
    scale.apply(axes.yaxis, 6)
    for row, answer in enumerate(panel.answers):
        _band(axes, answer, theme, row if named else None)
    for one in panel.limits:
        axes.axhline(one.limit, color=theme.ink, lw=1.0, ls=(0, (4, 2)))
        if len(panel.limits) > 1:
            place: dict[str, Any] = {"xy": (1, one.limit), "xycoords": ("axes fraction", "data"), "xytext": (-2, 2)}
            axes.annotate(one.condition, **place, **_SMALL, ha="right", color=theme.muted)
    for probe, one in panel.points:
        _point(axes, probe, one, probe.states[panel.tier], theme, scale)
    axes.set_ylabel(panel.limits[0].condition if len(panel.limits) == 1 else panel.name, labelpad=4, size=SMALL)
    axes.set_xlabel(QUANTITY[panel.answers[0].by], labelpad=3)


def _band(axes: Axes, answer: Capacity, theme: Theme, row: int | None) -> None:
    """From the highest load that passed to the lowest that failed, with the number of its SLO above."""
    if answer.low is None or answer.high is None:
        return
    axes.axvspan(answer.low, answer.high, color=theme.blue, alpha=0.15, lw=0)
    if row is not None:
        place: dict[str, Any] = {"xy": (answer.low, 1), "xycoords": ("data", "axes fraction")}
        axes.annotate(f"SLO {row + 1}", **place, xytext=(0, 3 + 72 * LINE * row), **_SMALL, color=theme.blue)


def _point(axes: Axes, probe: Probe, one: Figure, state: State, theme: Theme, scale: Scale) -> None:
    color = _colors(theme)[state]
    assert one.value is not None  # noqa: S101 - `_panels` chose those with a value
    value = max(one.value, scale.low)
    low, high = (value if end is None else max(end, scale.low) for end in (one.low, one.high))
    axes.plot([probe.load] * 2, [low, high], color=color, lw=1.4, alpha=0.8)
    size = 8 if probe.confirmation else 5
    face = "none" if probe.confirmation else color
    axes.plot([probe.load], [value], color=color, marker=MARKS[state], ms=size, mfc=face, ls="", clip_on=False)


def _colors(theme: Theme) -> dict[State, str]:
    return {
        "passed": theme.green,
        "failed": theme.vermillion,
        "unresolved": theme.orange,
        "invalid": theme.muted,
    }


def _panels(found: CapacityResult) -> list[Panel]:
    """A panel for each quantity and figure of a condition that has a point."""
    by_quantity: dict[By, list[Capacity]] = {}
    for answer in found.answers:
        by_quantity.setdefault(answer.by, []).append(answer)
    made = []
    for by, answers in by_quantity.items():
        probes = sorted((one for one in found.probes if one.by == by and one.states), key=lambda one: one.load)
        limits: dict[str, dict[str, Figure]] = {}
        for one in (figure for probe in probes for figure in probe.figures):
            if any(one.condition in answer.slo.split(", ") for answer in answers):
                limits.setdefault(re.split("[<>]", one.condition)[0].strip(), {})[one.condition] = one
        made += [_panel(name, answers, list(of.values()), probes) for name, of in limits.items()]
    return [panel for panel in made if any(one.value for _, one in panel.points)]


def _panel(name: str, answers: list[Capacity], limits: list[Figure], probes: list[Probe]) -> Panel:
    limits = sorted(limits, key=lambda one: one.limit)
    tightest = limits[0].condition
    known = [(probe, one) for probe in probes for one in probe.figures if one.condition == tightest]
    points = [(probe, one) for probe, one in known if one.value is not None]
    tier = next(place for place, answer in enumerate(answers) if tightest in answer.slo.split(", "))
    return Panel(name, answers, limits, points, tier)


def in_words(result: RunResult) -> str:
    """The answers."""
    found = result.capacity.answers if result.capacity else []
    return labels.printable("; ".join(answer_lines(answer)[0] for answer in found))

"""A grid of panels, one per case, on scales of their own choice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from harness.measure.result import Case
from reports import labels
from reports.drawing.scale import Scale
from reports.drawing.sheet import EDGE, TEXT, WIDTH, Sheet, fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT, PITCH = 1.25, 1.85
AXIS = 0.62
"""Room for the tick labels of a vertical axis."""


def height(cases: Sequence[Case]) -> float:
    """Of the grid, in inches."""
    return math.ceil(len(cases) / _columns(cases)) * PITCH + 0.42


class Axis(NamedTuple):
    """An axis and its label."""

    scale: Scale
    label: str
    ticks: int = 5


def grid(sheet: Sheet, cases: Sequence[Case], across: Axis, up: Axis) -> Iterator[tuple[Case, Axes]]:
    """The panels in the order of the cases, each with its name; outer panels have the labels of the axes."""
    columns = _columns(cases)
    width = (WIDTH - EDGE) / columns - AXIS
    for number, (case, name) in enumerate(zip(cases, labels.case_labels(cases), strict=True)):
        left = 0.56 + (number % columns) * (width + AXIS)
        top = 0.5 + (number // columns) * PITCH
        sheet.text(left, sheet.top + top - 0.11, fitted(name, width, TEXT, "bold"), weight="bold")
        axes = sheet.axes(left, top, width, HEIGHT)
        across.scale.apply(axes.xaxis, across.ticks)
        up.scale.apply(axes.yaxis, up.ticks)
        if number >= len(cases) - columns:
            axes.set_xlabel(across.label, labelpad=3)
        if number % columns == 0:
            axes.set_ylabel(up.label)
            axes.yaxis.set_label_coords(-0.41 / width, 0.5)
        yield case, axes


def _columns(cases: Sequence[Case]) -> int:
    return 1 if len(cases) == 1 else 2

"""Throughput against service time, a labelled point per strategy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.base import units
from harness.measure.result import Case, RunResult
from reports import labels
from reports.drawing.placing import Box, leader, place
from reports.drawing.rows import note
from reports.drawing.scale import scale_for
from reports.drawing.sheet import EDGE, SMALL, WIDTH, Sheet, fitted, text_width
from reports.drawing.theme import Theme
from reports.wording import per_case

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Throughput against service time"
HOW = (
    "A point per strategy: further right is a higher rate, further down a shorter service time. Bars reach from "
    "the median to the highest percentile that the number of requests allows."
)
ORDER = 30
HEIGHT = 3.4
LABEL_MAX = 2.5


def _points(result: RunResult) -> list[tuple[Case, float, float, float]]:
    """Case, throughput, median and tail of the service time."""
    found = []
    for case in result.cases:
        rate, spread = case.rates_per_s.completed, case.service_time_s
        tail = next((q.value for q in (spread.p99, spread.p95, spread.p90) if q.value is not None), spread.p50.value)
        if rate and spread.p50.value is not None and tail is not None:
            found.append((case, rate, spread.p50.value, tail))
    return found


def applies(result: RunResult) -> bool:
    """Whether there are at least two points."""
    return len(_points(result)) > 1


def figure(result: RunResult, theme: Theme) -> Figure:
    """The scatter plot. Labels overlap neither each other nor the points."""
    points = _points(result)
    height = HEIGHT + 0.15 * max(0, len(points) - 6)
    sheet = Sheet(theme, TITLE, note(result, HOW), height + 0.55)
    left, width = 0.72, WIDTH - 0.72 - EDGE
    axes = sheet.axes(left, 0.05, width, height)
    across = scale_for([rate for _, rate, _, _ in points])
    # Leave space for labels on the right.
    across = replace(across, high=across.high * (3.0 if across.log else 1.3))
    up = scale_for([value for point in points for value in point[2:]], units.seconds)
    across.apply(axes.xaxis, 7)
    up.apply(axes.yaxis, 6)
    axes.set_xlabel("throughput, ok/s" + (", log scale" if across.log else ""), labelpad=4)
    axes.set_ylabel("service time" + (", log scale" if up.log else ""), labelpad=4)
    shades = [theme.blue, theme.orange, theme.green, theme.vermillion, theme.purple, theme.sky]
    taken, spots, sizes, names = [], [], [], []
    wanted = {id(case): name for case, name in zip(result.cases, labels.case_labels(result.cases), strict=True)}
    for number, (case, rate, median, tail) in enumerate(points):
        color, marker = shades[number % len(shades)], "osD^vP"[number // len(shades) % 6]
        axes.plot([rate, rate], [median, tail], color=color, lw=2, solid_capstyle="butt", alpha=0.6)
        axes.plot([rate], [median], marker=marker, ms=8, color=color, mec=theme.surface, ls="")
        x, low, high = across.place(rate) * width, up.place(median) * height, up.place(tail) * height
        taken.append(Box(x - 0.07, low - 0.08, x + 0.07, high + 0.04))
        name = fitted(wanted[id(case)], LABEL_MAX, SMALL)
        spots.append((x, low))
        sizes.append((text_width(name, SMALL) + 0.06, 0.16))
        names.append(name)
    boxes = place(spots, sizes, Box(0.02, 0.02, width - 0.02, height - 0.02), taken)
    for box, (x, y), name in zip(boxes, spots, names, strict=True):
        if box is None:
            continue
        middle = ((box.left + box.right) / 2, (box.bottom + box.top) / 2)
        axes.annotate(
            name, (middle[0] / width, middle[1] / height), xycoords="axes fraction",
            ha="center", va="center", size=SMALL,
        )  # fmt: skip
        if leader((x, y), box):
            end = (min(max(x, box.left), box.right), min(max(y, box.bottom), box.top))
            across_in, up_in = [x / width, end[0] / width], [y / height, end[1] / height]
            axes.plot(across_in, up_in, transform=axes.transAxes, color=theme.line, lw=0.7, zorder=1.5)
    return sheet.figure


def in_words(result: RunResult) -> str:
    """Throughput and median service time of each case."""

    def words(case: Case) -> str:
        return (
            f"{units.rate(case.rates_per_s.completed)} at a median of {labels.percentile(case.service_time_s, 'p50')}"
        )

    return per_case(result, words)

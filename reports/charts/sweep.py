"""Throughput and latency over concurrency or over the arrival rate: where a higher load stops helping."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.base import units
from harness.measure.judge.sweep.fits import predicted
from harness.measure.judge.sweep.wording import knee_name, level_words, rows
from harness.measure.result import RunResult
from harness.measure.sweep_result import Estimate, ModelFit, PredictedLevel, SweepPoint, SweepResult
from reports import labels
from reports.drawing.scale import Scale, scale_for
from reports.drawing.sheet import EDGE, WIDTH, Sheet
from reports.drawing.theme import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Throughput and latency against load"
HOW = (
    "A point per level; bands are 95 % intervals over the repeats. The solid line marks the knee, or the end of the "
    "levels if the best is there; the dotted one the highest level that holds the SLO. Hollow points are not judged, "
    "or have too many failures."
)
UNEXPLAINED = " At the bottom, what each model leaves unexplained."
ORDER = 5
LEFT, GAP = 0.78, 0.3
HEIGHTS = (2.0, 2.0, 0.95)
CURVE = 120
KEY_COLUMNS = 5
LABELS = {"capped-linear": "capped linear", "usl": "scalability law"}
GEOMETRIC = 2.0
"""Levels whose last step is longer than the first by this factor are drawn on a logarithmic axis."""
LESS = 0.99
ABOVE = 1.25
"""The axis has room for the curve of a model up to this times the highest rate."""


def applies(result: RunResult) -> bool:
    """Whether the run is a sweep with a success."""
    return result.sweep is not None and any(point.completed_per_s.value for point in result.sweep.points)


def figure(result: RunResult, theme: Theme) -> Figure:
    """Throughput, latency and residuals over one axis of loads."""
    assert result.sweep is not None  # noqa: S101 - `applies` looked
    found = result.sweep
    heights = HEIGHTS if found.fits else HEIGHTS[:2]
    key = _key(found, theme)
    top = 0.2 + 0.19 * math.ceil(len(key) / KEY_COLUMNS)
    sheet = Sheet(
        theme, TITLE, HOW + (UNEXPLAINED if found.fits else ""), top + sum(heights) + GAP * len(heights) + 0.3
    )
    across = _across(found)
    panels = []
    for height in heights:
        axes = sheet.axes(LEFT, top, WIDTH - LEFT - EDGE, height)
        panels.append(axes)
        top += height + GAP
    _throughput(panels[0], found, theme)
    _latency(panels[1], found, theme)
    if found.fits:
        _residuals(panels[2], found, theme)
    for axes in panels:
        _loads(axes, across, found, labelled=axes is panels[-1])
        _marks(axes, found, theme)
    panels[-1].set_xlabel(_axis(found, log=across.log), labelpad=4)
    sheet.key(0.1, key)
    return sheet.figure


def _across(found: SweepResult) -> Scale:
    levels = [point.level for point in found.points]
    steps = [right - left for left, right in itertools.pairwise(levels)]
    log = len(steps) > 1 and steps[-1] > GEOMETRIC * steps[0]
    if log:
        return Scale(min(levels) / 1.25, max(levels) * 1.25, log=True)
    margin = 0.06 * (max(levels) - min(levels)) or 1.0
    return Scale(max(0.0, min(levels) - margin), max(levels) + margin, log=False)


def _axis(found: SweepResult, *, log: bool) -> str:
    named = "concurrency" if found.by == "concurrency" else "offered rate, requests/s"
    return named + (", log scale" if log else "")


def _loads(axes: Axes, across: Scale, found: SweepResult, *, labelled: bool) -> None:
    """The levels themselves are the ticks, if they fit; numbers stand only below the last panel."""
    across.apply(axes.xaxis, 9)
    levels = [point.level for point in found.points]
    if len(levels) <= 12:
        axes.xaxis.set_ticks(levels)
    if labelled:
        axes.xaxis.set_ticks(axes.get_xticks(), labels=[units.significant(tick) for tick in axes.get_xticks()])
    else:
        axes.xaxis.set_ticklabels([])


def _throughput(axes: Axes, found: SweepResult, theme: Theme) -> None:
    ends = [end for point in found.points for end in (point.completed_per_s.value, point.completed_per_s.high)]
    ends += [one.completed_per_s for one in _shown(found)]
    highest = max((end for end in ends if end is not None), default=0.0)
    curves = [(fit, *_curve(found, fit)) for fit in found.fits]
    ends += [min(max(ys), ABOVE * highest) for _, _, ys in curves]
    scale_for(ends, log=False).apply(axes.yaxis, 5)
    limit = axes.get_ylim()
    _predicted(axes, found, lambda one: one.completed_per_s, theme.blue)
    if _has_goodput(found):
        _series(axes, found.points, lambda point: point.goodput_per_s, theme.sky, "s")
    _series(axes, found.points, lambda point: point.completed_per_s, theme.blue, "o")
    for fit, xs, ys in curves:
        chosen = fit.model == found.model
        color = theme.ink if chosen else theme.grey
        axes.plot(xs, ys, color=color, lw=1.0, ls=(0, (4, 2)) if chosen else (0, (1, 2)), zorder=1)
    axes.set_ylim(limit)
    axes.set_ylabel("successes/s", labelpad=4)


def _has_goodput(found: SweepResult) -> bool:
    """Whether the goodput is another line than the successes."""
    pairs = ((point.goodput_per_s.value, point.completed_per_s.value) for point in found.points)
    return any((good or 0.0) < LESS * (done or 0.0) for good, done in pairs)


def _curve(found: SweepResult, fit: ModelFit) -> tuple[list[float], list[float]]:
    """The model within the levels that it was fitted to."""
    import numpy as np

    fitted = [point.level for point in found.points if point.case in fit.residuals]
    levels = np.geomspace(min(fitted), max(fitted), CURVE)
    values = {name: math.inf if one.value is None else one.value for name, one in fit.parameters.items()}
    return levels.tolist(), predicted(fit.model, values, levels).tolist()


def _latency(axes: Axes, found: SweepResult, theme: Theme) -> None:
    series = _tails(theme)
    known = [end for name, _, _ in series for p in found.points for end in (_of(p, name).value, _of(p, name).high)]
    known += [end for one in _shown(found) for end in (one.p50_s, one.p99_s)]
    if any(known):
        scale_for(known, units.seconds).apply(axes.yaxis, 5)
    for name, color, marker in series:
        _series(axes, found.points, lambda point, name=name: _of(point, name), color, marker)  # type: ignore[misc] # bound now
        _predicted(axes, found, lambda one, name=name: getattr(one, f"{name}_s"), color)  # type: ignore[misc] # bound now
    axes.set_ylabel("service time" if found.by == "concurrency" else "latency from due time", labelpad=4)


def _shown(found: SweepResult) -> list[PredictedLevel]:
    """The predicted levels that were played: others would stretch the axes."""
    last = max(point.level for point in found.points)
    return [one for one in found.predicted.levels if one.level <= last] if found.predicted is not None else []


def _predicted(axes: Axes, found: SweepResult, value_of: Callable[[PredictedLevel], float | None], color: str) -> None:
    """The prediction of a profile, dotted, in the color of what was measured."""
    known = [(one.level, value) for one in _shown(found) if (value := value_of(one)) is not None]
    axes.plot(
        [level for level, _ in known], [value for _, value in known], color=color, ls=(0, (1, 1)), lw=2.2, alpha=0.75
    )


def _tails(theme: Theme) -> tuple[tuple[str, str, str], ...]:
    return ("p50", theme.green, "o"), ("p95", theme.orange, "^"), ("p99", theme.vermillion, "D")


def _of(point: SweepPoint, name: str) -> Estimate:
    found: Estimate = getattr(point, f"{name}_s")
    return found


def _series(
    axes: Axes, points: Sequence[SweepPoint], figure_of: Callable[[SweepPoint], Estimate], color: str, marker: str
) -> None:
    """A line through the points with a value, with a band where there are intervals."""
    known = [(point, value) for point in points if (value := figure_of(point).value) is not None]
    axes.plot([point.level for point, _ in known], [value for _, value in known], color=color, lw=1.4)
    # Without both ends at a level, the band has a gap there: it claims nothing.
    ends = [(one.low, one.high) for one in (figure_of(point) for point, _ in known)]
    lows, highs = ([math.nan if None in pair else pair[end] for pair in ends] for end in (0, 1))
    levels = [point.level for point, _ in known]
    axes.fill_between(levels, lows, highs, color=color, alpha=0.22, lw=0)  # type: ignore[arg-type] # no None is left
    axes.vlines(levels, lows, highs, color=color, lw=1.0, alpha=0.6)  # type: ignore[arg-type] # as above
    for point, value in known:
        face = color if point.left_out is None and not point.failing else "none"
        axes.plot([point.level], [value], color=color, marker=marker, ms=4.5, mfc=face, ls="")


def _residuals(axes: Axes, found: SweepResult, theme: Theme) -> None:
    widest = max((abs(one) for fit in found.fits for one in fit.residuals.values()), default=0.0)
    limit = max(0.05, 1.15 * widest)
    ticks = [-limit / 1.15, 0.0, limit / 1.15]
    axes.set_ylim(-limit, limit)
    axes.yaxis.set_ticks(ticks, labels=[f"{100 * tick:+.0f} %" if tick else "0 %" for tick in ticks])
    axes.yaxis.set_tick_params(length=0, pad=4)
    axes.axhline(0.0, color=theme.line, lw=0.8)
    for fit in found.fits:
        chosen = fit.model == found.model
        levels = [point.level for point in found.points if point.case in fit.residuals]
        values = [fit.residuals[point.case] for point in found.points if point.case in fit.residuals]
        color = theme.ink if chosen else theme.grey
        axes.plot(levels, values, color=color, marker="o" if chosen else "x", ms=4, lw=0.8)
    axes.set_ylabel("residuals", labelpad=4)


def _marks(axes: Axes, found: SweepResult, theme: Theme) -> None:
    if found.knee is not None:
        axes.axvline(found.knee, color=theme.purple, lw=1.2)
    if found.capacity is not None:
        axes.axvline(found.capacity, color=theme.ink, lw=1.4, ls=(0, (1, 1.5)))
    if found.cliff is not None:
        axes.axvline(found.cliff, color=theme.vermillion, lw=1.0, ls=(0, (6, 2)))


def _key(found: SweepResult, theme: Theme) -> list[tuple[str, dict[str, object]]]:
    entries: list[tuple[str, dict[str, object]]] = [("successes/s", {"color": theme.blue, "marker": "o", "ls": "-"})]
    if _has_goodput(found):
        entries.append(("goodput", {"color": theme.sky, "marker": "s", "ls": "-"}))
    entries += [(name, {"color": color, "marker": marker, "ls": "-"}) for name, color, marker in _tails(theme)]
    if found.predicted is not None:
        name = f"predicted by {labels.printable(found.predicted.profile)}"
        entries.append((name, {"color": theme.muted, "ls": (0, (1, 1)), "lw": 2.2}))
    for fit in found.fits:
        chosen = fit.model == found.model
        style: dict[str, object] = {
            "color": theme.ink if chosen else theme.grey,
            "ls": (0, (4, 2)) if chosen else (0, (1, 2)),
        }
        entries.append((LABELS[fit.model] + (" (chosen)" if chosen else ""), style))
    marks: tuple[tuple[float | None, str, str, object], ...] = (
        (found.knee, knee_name(found), theme.purple, "-"),
        (found.capacity, "SLO holds to", theme.ink, (0, (1, 1.5))),
        (found.cliff, "cliff", theme.vermillion, (0, (6, 2))),
    )
    for level, words, color, ls in marks:
        if level is not None:
            entries.append((f"{words} {level_words(found, level)}", {"color": color, "ls": ls}))
    return entries


def in_words(result: RunResult) -> str:
    """The advice, and the figures of every level."""
    assert result.sweep is not None  # noqa: S101 - `applies` looked
    figures = "; ".join(f"{cells[0]}: {cells[1]}/s, p50 {cells[3]}, p99 {cells[5]}" for cells in rows(result.sweep))
    return labels.printable(f"{result.sweep.advice} {figures}")

"""The chart of a trend: a small SVG of its own, because a page can have hundreds of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from harness.measure.run_list_result import Trend, TrendPoint
from reports.labels import printable

WIDTH, HEIGHT = 340.0, 110.0
SIDE, TOP, BOTTOM = 10.0, 12.0, 98.0
Words = Callable[[float, str], str]
GOOD = {"valid", "passed"}
BAD = {"invalid", "failed"}


def drawn(title: str, trend: Trend, links: Mapping[str, str], words: Words) -> dict[str, Any]:
    """The parts that the template draws: points with intervals, lines between comparable neighbours, and breaks."""
    low, high = _range(trend.points)
    steps = max(len(trend.points) - 1, 1)

    def x(place: float) -> float:
        return WIDTH / 2 if len(trend.points) == 1 else SIDE + (WIDTH - 2 * SIDE) * place / steps

    def y(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low)

    return {
        "title": title,
        "aria": _in_words(title, trend, words),
        "range": f"{words(low, trend.unit)} to {words(high, trend.unit)}",
        "latest": _latest(trend, words),
        "points": [_point(point, x(at), y, links, trend, words) for at, point in enumerate(trend.points)],
        "lines": _lines(trend.points, x, y),
        "breaks": [round(x(at - 0.5), 1) for at, point in enumerate(trend.points) if point.broken],
        "width": WIDTH,
        "height": HEIGHT,
        "top": TOP - 8,
        "bottom": BOTTOM + 8,
    }


def _range(points: Sequence[TrendPoint]) -> tuple[float, float]:
    """From the lowest to the highest value or end of an interval; never empty."""
    values = [value for one in points for value in (one.value, one.low, one.high) if value is not None]
    low, high = min(values), max(values)
    if low == high:
        # A flat trend is drawn in the middle.
        return (low * 0.9, high * 1.1) if high > 0 else (0.0, 1.0)
    return low, high


def _point(
    point: TrendPoint, x: float, y: Callable[[float], float], links: Mapping[str, str], trend: Trend, words: Words
) -> dict[str, Any] | None:
    if point.value is None:
        return None
    within = point.low is not None and point.high is not None
    interval = f", {words(point.low, trend.unit)} to {words(point.high, trend.unit)}" if within else ""  # type: ignore[arg-type] # both are known
    partial = ", partial" if point.partial else ""
    broken = ". Not comparable with the run before" if point.broken else ""
    return {
        "x": round(x, 1),
        "y": round(y(point.value), 1),
        "low": round(y(point.low), 1) if point.low is not None and within else None,
        "high": round(y(point.high), 1) if point.high is not None and within else None,
        "mark": "cross" if point.status in BAD else "dot" if point.status in GOOD and not point.partial else "ring",
        "link": links.get(point.path, ""),
        "text": printable(
            f"{point.path}: {words(point.value, trend.unit)}{interval} ({point.status}{partial}){broken}"
        ),
    }


def _lines(points: Sequence[TrendPoint], x: Callable[[float], float], y: Callable[[float], float]) -> list[str]:
    """A line through every stretch of comparable points that have a value. Nothing follows from an invalid one."""
    stretches: list[list[str]] = [[]]
    for place, point in enumerate(points):
        if point.broken or point.value is None:
            stretches.append([])
        if point.value is not None and point.status != "invalid":
            stretches[-1].append(f"{x(place):.1f},{y(point.value):.1f}")
    return [" ".join(stretch) for stretch in stretches if len(stretch) > 1]


def _latest(trend: Trend, words: Words) -> str:
    last = trend.points[-1].value
    return words(last, trend.unit) if last is not None else "no value in the latest run"


def _in_words(title: str, trend: Trend, words: Words) -> str:
    values = list(_values(trend, words))
    breaks = sum(bool(point.broken) for point in trend.points)
    said = f"; {breaks} breaks in comparability" if breaks > 1 else "; 1 break in comparability" if breaks else ""
    return printable(f"{title} of {trend.case} over {len(trend.points)} runs: {', '.join(values[-12:])}{said}")


def _values(trend: Trend, words: Words) -> Iterator[str]:
    for point in trend.points:
        yield words(point.value, trend.unit) if point.value is not None else "none"

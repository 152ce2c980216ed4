"""Small multiples over time: one panel per case, the same quantity on the same scale in each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from harness.base import units
from harness.measure.result import Bucket, Case, RunResult
from reports import labels
from reports.drawing.scale import Scale, scale_for
from reports.drawing.sheet import EDGE, SMALL, TEXT, WIDTH, Sheet, fitted
from reports.drawing.theme import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BUCKETS_MAX = 160
"""A panel is about 300 pixels wide, so more points would only make the file larger."""
AXIS = 0.62  # room for y tick labels
DrawPanel = Callable[["Axes", Case, list[Bucket], Theme], None]
Key = list[tuple[str, dict[str, Any]]]


def has_timeline(result: RunResult) -> bool:
    """True if any case has a timeline."""
    return any(case.timeline for case in result.cases)


def thinned(buckets: Sequence[Bucket], most: int = BUCKETS_MAX) -> list[Bucket]:
    """At most `most` buckets. Neighbours merge: counts are summed, levels averaged, percentiles take the maximum."""
    step = math.ceil(len(buckets) / most)
    if step <= 1:
        return list(buckets)
    return [_merged(buckets[at : at + step]) for at in range(0, len(buckets), step)]


def _merged(part: Sequence[Bucket]) -> Bucket:
    def worst(name: str) -> float | None:
        return max((value for bucket in part if (value := getattr(bucket, name)) is not None), default=None)

    width = sum(bucket.width_s for bucket in part)
    return Bucket(
        t_s=part[0].t_s,
        width_s=width,
        due=sum(bucket.due for bucket in part),
        sent=sum(bucket.sent for bucket in part),
        ok=sum(bucket.ok for bucket in part),
        failed=sum(bucket.failed for bucket in part),
        in_flight=sum(bucket.in_flight * bucket.width_s for bucket in part) / (width or 1.0),
        limit=part[-1].limit,
        latency_p50_s=worst("latency_p50_s"),
        latency_p99_s=worst("latency_p99_s"),
        service_p50_s=worst("service_p50_s"),
        service_p99_s=worst("service_p99_s"),
        cpu_share=worst("cpu_share"),
        rss_mb=worst("rss_mb"),
        loop_lag_s=worst("loop_lag_s"),
        output_tokens=_sum(bucket.output_tokens for bucket in part),
    )


def _sum(counts: Iterable[float | None]) -> float | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def steps(buckets: Sequence[Bucket], value: Callable[[Bucket], float | None]) -> tuple[list[float], list[float]]:
    """Times and values of a step line up to the last bucket's end; NaN for buckets without a value."""
    times = [bucket.t_s for bucket in buckets]
    found = [value(bucket) for bucket in buckets]
    values = [math.nan if one is None else one for one in found]
    last = buckets[-1]
    return [*times, last.t_s + last.width_s], [*values, values[-1]]


def middles(buckets: Sequence[Bucket], value: Callable[[Bucket], float | None]) -> tuple[list[float], list[float]]:
    """Middles and values of the buckets with a value; NaN where two or more successive buckets have none."""
    times: list[float] = []
    values: list[float] = []
    for bucket in buckets:
        if (one := value(bucket)) is None:
            continue
        middle = bucket.t_s + bucket.width_s / 2
        if times and middle - times[-1] > 2.5 * bucket.width_s:
            times.append(middle)
            values.append(math.nan)
        times.append(middle)
        values.append(one)
    return times, values


def small_multiples(
    result: RunResult, theme: Theme, title: str, subtitle: str, y_label: str, y_scale: Scale, key: Key, draw: DrawPanel
) -> Figure:
    """A grid of panels in the order of the cases; time axes are shared unless the lengths differ too much."""
    cases = result.cases
    columns = 1 if len(cases) == 1 else 2
    height = 1.9 if columns == 1 else 1.15
    pitch = height + 0.66
    lines = math.ceil(len(cases) / columns)
    ends = [_end(case) for case in cases]
    longest, shortest = max(ends), min((end for end in ends if end > 0), default=1.0)
    shared = longest <= 4 * shortest
    how = f"{subtitle} {'' if shared or columns == 1 else 'Each panel has its own time axis.'}".strip()
    sheet = Sheet(theme, title, how, lines * pitch + 0.5)
    sheet.key(0.06, key)
    width = (WIDTH - EDGE) / columns - AXIS - 0.1
    for number, (case, name) in enumerate(zip(cases, labels.case_labels(cases), strict=True)):
        left = AXIS + (number % columns) * (width + AXIS + 0.1)
        top = 0.5 + (number // columns) * pitch
        sheet.text(left, sheet.top + top - 0.11, fitted(name, width, TEXT, "bold"), weight="bold")
        axes = sheet.axes(left, top, width, height)
        Scale(0.0, (longest if shared else ends[number]) or 1.0, log=False).apply(axes.xaxis, 6, grid=False)
        y_scale.apply(axes.yaxis, 5)
        if number >= len(cases) - columns:
            axes.set_xlabel("seconds since the load began", labelpad=3)
        if number % columns == 0:
            axes.set_ylabel(y_label, labelpad=3)
            axes.yaxis.set_label_coords(-0.50 / width, 0.5)
        if case.timeline:
            draw(axes, case, thinned(case.timeline), theme)
        else:
            axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", color=theme.muted, size=SMALL)
    return sheet.figure


def _end(case: Case) -> float:
    return case.timeline[-1].t_s + case.timeline[-1].width_s if case.timeline else 0.0


def scale_over_time(
    result: RunResult, values: Callable[[Bucket], Sequence[float | None]], *, spans: bool = False
) -> Scale:
    """One scale for all panels. With `spans`, its ticks are durations."""
    found = [
        value for case in result.cases if case.timeline for bucket in thinned(case.timeline) for value in values(bucket)
    ]
    return scale_for(found, units.seconds, log=None) if spans else scale_for(found, log=False)

"""Throughput and latency over concurrency, from cases that differ only in concurrency, and the best level. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measure.result import Case

ENOUGH = 0.99
LEAST_POINTS = 3


def concurrency(case: Case) -> int | None:
    """The strategy's concurrency, if it has this setting."""
    value = case.strategy.settings.get("concurrency")
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def curve(cases: Sequence[Case]) -> list[tuple[int, Case]]:
    """The cases by rising concurrency; empty unless there are at least three and they differ in nothing else."""
    points = [(level, case) for case in cases if (level := concurrency(case)) is not None]
    same = {(case.strategy.name, case.target.url, case.task, case.load.kind, str(case.layers)) for case in cases}
    if len(same) != 1 or len(points) != len(cases) or len({level for level, _ in points}) != len(points):
        return []
    return sorted(points, key=lambda point: point[0]) if len(points) >= LEAST_POINTS else []


def best(points: Sequence[tuple[int, Case]], enough: float = ENOUGH) -> tuple[int, Case] | None:
    """The smallest concurrency with `enough` of the highest goodput: above it, requests only wait longer."""
    rated = [(level, case, case.rates_per_s.goodput or 0.0) for level, case in points]
    most = max((rate for _, _, rate in rated), default=0.0)
    return next(((level, case) for level, case, rate in rated if most and rate >= enough * most), None)


def edge(points: Sequence[tuple[int, Case]], level: int) -> str:
    """A warning if the best level is the lowest or highest tried, so that a better one may lie beyond; else empty."""
    levels = [tried for tried, _ in points]
    if level == max(levels):
        return "; it is the highest level tried, so a higher one may be better: extend --concurrency upwards"
    if level == min(levels) and level > 1:
        return "; it is the lowest level tried, so a lower one may be enough: extend --concurrency downwards"
    return ""

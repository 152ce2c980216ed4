"""report.bencher.json: Bencher Metric Format, with intervals as lower and upper values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.measure.result import Case, Quantile, RunResult
from reports import labels
from reports.export_figures import FIGURES, names

if TYPE_CHECKING:
    from reports.drawing.draw import Drawing

SUFFIX = "bencher.json"
CHARTS = False
Measures = dict[str, dict[str, float]]


def render(result: RunResult, drawings: Sequence[Drawing] = ()) -> str:
    """Benchmark -> measure -> value. A case without any figure is left out."""
    found = {
        name: measures
        for name, case in zip(names(result.cases), result.cases, strict=True)
        if (measures := _measures(case))
    }
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _measures(case: Case) -> Measures:
    """`throughput` in operations per second is a measure that Bencher has; the others have their unit in the name."""
    measures: Measures = {}
    if case.rates_per_s.completed is not None:
        measures["throughput"] = {"value": case.rates_per_s.completed}
    for figure in FIGURES[1:]:
        found = figure.of_case(case)
        if found.value is not None:
            measures[f"{figure.name.replace(' ', '-')}-ms"] = _bounded(found, found.value)
    failed = labels.failed_share(case)
    if failed is not None:
        measures["failed-percent"] = {"value": failed * 100}
    return measures


def _bounded(found: Quantile, value: float) -> dict[str, float]:
    bounds = {"value": value, "lower_value": found.low, "upper_value": found.high}
    return {key: bound * 1e3 for key, bound in bounds.items() if bound is not None}

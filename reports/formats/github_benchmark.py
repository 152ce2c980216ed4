"""report.github-benchmark.json: for github-action-benchmark, tool customSmallerIsBetter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.base import units
from harness.measure.result import Case, RunResult
from reports import labels
from reports.export_figures import FIGURES, names

if TYPE_CHECKING:
    from reports.drawing.draw import Drawing

SUFFIX = "github-benchmark.json"
CHARTS = False


def render(result: RunResult, drawings: Sequence[Drawing] = ()) -> str:
    """A list of times in ms and shares in per cent, because the tool takes one direction for a whole file."""
    entries = [
        entry
        for name, case in zip(names(result.cases), result.cases, strict=True)
        for entry in _entries(name, case, result)
    ]
    return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"


def _entries(name: str, case: Case, result: RunResult) -> list[dict[str, Any]]:
    extra = f"n {case.latency_s.n}, repeats {case.repeats}, measurement {result.verdict.status}"
    entries: list[dict[str, Any]] = []
    for figure in FIGURES:
        found = figure.of_case(case)
        if found.value is None:
            continue
        entry = {"name": f"{name}: {figure.name}", "unit": "ms", "value": found.value * 1e3, "extra": extra}
        if found.low is not None and found.high is not None:
            entry["range"] = f"{units.seconds(found.low)} to {units.seconds(found.high)}"
        entries.append(entry)
    failed = labels.failed_share(case)
    if failed is not None:
        entries.append({"name": f"{name}: failed", "unit": "%", "value": failed * 100, "extra": extra})
    return entries

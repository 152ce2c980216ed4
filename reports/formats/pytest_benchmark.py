"""report.pytest-benchmark.json: read by `pytest-benchmark compare` and `pytest --benchmark-compare`."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.measure.result import Case, Quantile, RunResult
from reports import labels
from reports.export_figures import FIGURES, Figure, names, values

if TYPE_CHECKING:
    from reports.drawing.draw import Drawing

SUFFIX = "pytest-benchmark.json"
CHARTS = False
# The version of pytest-benchmark whose files these are.
FORMAT_VERSION = "5.3.1"
OPTIONS = {"disable_gc": False, "timer": "paceline", "min_rounds": 1, "max_time": 0.0, "min_time": 0.0, "warmup": False}


def render(result: RunResult, drawings: Sequence[Drawing] = ()) -> str:
    """A benchmark for each case and figure, in groups by figure. Its rounds are the repeats of the case."""
    named = list(zip(names(result.cases), result.cases, strict=True))
    benchmarks = [
        _benchmark(figure, name, case, data, result)
        for figure in FIGURES
        for name, case in named
        if (data := values(figure, case))
    ]
    sha = labels.printable(str(result.environment.get("git_sha") or "unknown"))
    content = {
        "machine_info": _machine(result),
        "commit_info": {"id": sha.removesuffix("-dirty"), "time": None, "dirty": sha.endswith("-dirty")},
        "benchmarks": benchmarks,
        "datetime": result.started_at,
        "version": FORMAT_VERSION,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _machine(result: RunResult) -> dict[str, Any]:
    facts = result.environment
    return {
        "node": "",
        "machine": facts.get("machine"),
        "system": facts.get("os"),
        "python_version": facts.get("python"),
        "cpu": {"brand_raw": facts.get("cpu_model"), "count": facts.get("cpu_cores")},
    }


def _benchmark(figure: Figure, name: str, case: Case, data: list[float], result: RunResult) -> dict[str, Any]:
    return {
        "group": figure.name,
        "name": name,
        "fullname": f"paceline/{labels.printable(case.scenario)}::{name}[{figure.name}]",
        "params": None,
        "param": None,
        "extra_info": _extra(case, result),
        "options": OPTIONS,
        "stats": {**stats(data), "data": data, "iterations": 1},
    }


def _extra(case: Case, result: RunResult) -> dict[str, Any]:
    """Percentiles with their intervals over all repeats, and whether they can be trusted."""
    found: dict[str, Quantile] = {
        f"{label}_{name}_s": getattr(spread, name)
        for label, spread in (("latency", case.latency_s), ("service_time", case.service_time_s))
        for name in ("p50", "p95", "p99")
    }
    intervals = {key: [q.value, q.low, q.high] for key, q in found.items() if q.value is not None}
    rate = case.rates_per_s.completed
    return {"run": result.id, "verdict": result.verdict.status, "completed_per_s": rate, **intervals}


def stats(data: list[float]) -> dict[str, Any]:
    """The statistics that pytest-benchmark computes of rounds."""
    ordered, mean = sorted(data), statistics.mean(data)
    stddev = statistics.stdev(data) if len(data) > 1 else 0
    q1, q3 = _quartiles(ordered)
    low, high = q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)
    far = sum(value < mean - stddev or value > mean + stddev for value in ordered)
    outside = sum(value < low or value > high for value in ordered)
    return {
        "min": ordered[0],
        "max": ordered[-1],
        "mean": mean,
        "stddev": stddev,
        "rounds": len(ordered),
        "median": statistics.median(ordered),
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": outside,
        "stddev_outliers": far,
        "outliers": f"{far};{outside}",
        "ld15iqr": next(value for value in ordered if value >= low),
        "hd15iqr": next(value for value in reversed(ordered) if value <= high),
        "ops": 1 / mean if mean else 0,
        "total": sum(ordered),
    }


def _quartiles(ordered: list[float]) -> tuple[float, float]:
    """The medians of the lower and the upper half; of an odd number, with and without its middle value, averaged."""
    size = len(ordered)
    if size == 1:
        return ordered[0], ordered[0]
    half, odd = size // 2, size % 2
    lower = statistics.median(ordered[:half]), statistics.median(ordered[: half + odd])
    upper = statistics.median(ordered[half + odd :]), statistics.median(ordered[half:])
    return statistics.mean(lower), statistics.mean(upper)

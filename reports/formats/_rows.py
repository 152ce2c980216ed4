"""One row for each repeat of each case: the table that csv and parquet write."""

from __future__ import annotations

import json
from typing import Any

from harness.measure.repeat_figures import Points, RepeatFigures
from harness.measure.result import Case, Distribution, RunResult
from reports import labels

POINTS = Points.__struct_fields__
SPREADS = {
    "latency": "latency_s",
    "service_time": "service_time_s",
    "ttft": "ttft_s",
    "itl": "itl_s",
    "tpot": "tpot_s",
    "e2e": "e2e_s",
}
TEXTS = ("run", "started_at", "verdict", "case", "strategy", "strategy_settings", "task", "scenario", "load",
         "load_settings", "target", "server", "schedule_sha256")  # fmt: skip
COUNTS = ("seed", "repeat", "scheduled", "ok")
TOKENS = ("prompt_tokens", "output_tokens")
NUMBERS = ("makespan_s", "completed_per_s", "goodput_per_s",
           *(f"{spread}_{point}_s" for spread in SPREADS for point in POINTS), "output_tokens_per_s")  # fmt: skip
COLUMNS: dict[str, type] = {
    **dict.fromkeys(TEXTS, str), "simulated": bool, "partial": bool,
    **dict.fromkeys(COUNTS, int), **dict.fromkeys(NUMBERS, float), **dict.fromkeys(TOKENS, int),
}  # fmt: skip
"""Column -> the type of its values; every value may be null."""


def rows(result: RunResult) -> list[dict[str, Any]]:
    """A row for each repeat. A case without repeats in its result has one row, without a number of the repeat."""
    found = []
    for case in result.cases:
        shared = _of_case(result, case)
        found += [shared | _of_repeat(repeat) for repeat in case.by_repeat] or [shared | _pooled(case)]
    return [{column: row.get(column) for column in COLUMNS} for row in found]


def _of_case(result: RunResult, case: Case) -> dict[str, Any]:
    texts = {
        "run": result.id,
        "started_at": result.started_at,
        "verdict": result.verdict.status,
        "case": case.name,
        "strategy": case.strategy.name,
        "strategy_settings": json.dumps(case.strategy.settings, ensure_ascii=False),
        "task": case.task,
        "scenario": case.scenario,
        "load": case.load.kind,
        "load_settings": json.dumps(case.load.settings, ensure_ascii=False),
        "target": case.target.url,
        "server": case.target.server,
        "schedule_sha256": result.schedule_sha256,
    }
    plain = {key: None if text is None else labels.printable(text) for key, text in texts.items()}
    return plain | {"simulated": result.simulated, "partial": case.partial, "seed": result.seed}


def _of_repeat(repeat: RepeatFigures) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "repeat": repeat.repeat,
        "scheduled": repeat.scheduled,
        "ok": repeat.ok,
        "makespan_s": repeat.makespan_s,
        "completed_per_s": repeat.completed_per_s,
        "goodput_per_s": repeat.goodput_per_s,
        "prompt_tokens": repeat.prompt_tokens,
        "output_tokens": repeat.output_tokens,
        "output_tokens_per_s": repeat.output_tokens_per_s,
    }
    for name, attribute in SPREADS.items():
        points: Points | None = getattr(repeat, attribute)
        figures |= {f"{name}_{point}_s": getattr(points, point, None) for point in POINTS}
    return figures


def _pooled(case: Case) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "scheduled": case.counts.scheduled,
        "ok": case.counts.ok,
        "makespan_s": case.makespan_s,
        "completed_per_s": case.rates_per_s.completed,
        "goodput_per_s": case.rates_per_s.goodput,
    }
    for name, attribute in SPREADS.items():
        spread: Distribution = getattr(case, attribute) or Distribution()
        for point in POINTS:
            value = getattr(spread, point, None)
            figures[f"{name}_{point}_s"] = getattr(value, "value", value)
    return figures

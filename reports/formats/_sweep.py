"""The section on a sweep: a table with a row for each level. Each format escapes the cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.measure.judge.sweep.wording import columns, rows
from harness.measure.sweep_result import SweepResult

LITTLE = (
    "Little residual: the share of the calls in flight that rate × mean service time of the successes does not "
    "explain; negative where failures or retries hold calls."
)


def sweep_blocks(found: SweepResult | None) -> list[dict[str, Any]]:
    """A block with title, lines, headings and rows; none without a sweep."""
    if found is None:
        return []
    named = "concurrency" if found.by == "concurrency" else "arrival rate"
    heads = [head or "marks" for head in columns(found)]
    title = f"Sweep by {named}"
    return [{"title": title, "lines": [LITTLE], "heads": heads, "rows": rows(found), "words": False}]


def sweep_section(found: SweepResult, escaped: Callable[[str], str]) -> str:
    """The same in Markdown."""
    (block,) = sweep_blocks(found)
    lines = ["| " + " | ".join(map(escaped, cells)) + " |" for cells in block["rows"]]
    head = "| " + " | ".join(block["heads"]) + " |"
    ruler = "|" + "---:|" * (len(block["heads"]) - 1) + "---|"
    return "\n".join([f"## {block['title']}", "", head, ruler, *lines, "", *map(escaped, block["lines"])])

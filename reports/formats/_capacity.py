"""The section on a capacity search: its answers, and a table of the probes. Each format escapes the cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.measure.capacity_result import CapacityResult
from harness.measure.judge.capacity.wording import answer_lines, columns, row


def capacity_blocks(found: CapacityResult | None) -> list[dict[str, Any]]:
    """A block for each quantity: answers, headings, rows by load."""
    blocks: list[dict[str, Any]] = []
    for by in dict.fromkeys(answer.by for answer in found.answers) if found is not None else ():
        assert found is not None  # noqa: S101 - as the loop says
        probes = sorted((one for one in found.probes if one.by == by), key=lambda one: (one.load, one.confirmation))
        lines = [line.strip() for answer in found.answers if answer.by == by for line in answer_lines(answer)]
        rows = [row(one) for one in probes]
        heads = columns(by, found)
        title = f"Capacity by {by}"
        blocks.append({"title": title, "lines": lines, "heads": heads, "rows": rows, "words": True})
    return blocks


def capacity_section(found: CapacityResult, escaped: Callable[[str], str]) -> str:
    """The same in Markdown."""
    parts = []
    for block in capacity_blocks(found):
        parts += [f"## {block['title']}", "", *(f"- {escaped(line)}" for line in block["lines"]), ""]
        parts += ["| " + " | ".join(map(escaped, block["heads"])) + " |", "|---:|---|---:|---:|---:|---|"]
        parts += ["| " + " | ".join(map(escaped, cells)) + " |" for cells in block["rows"]]
        parts.append("")
    return "\n".join(parts).strip()

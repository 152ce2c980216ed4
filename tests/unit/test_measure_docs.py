"""docs/measuring.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from harness.measure.judge.codes import CODES
from harness.measure.reduce.statistics import LEAST_N
from harness.measure.result import OUTCOME_NAMES

PAGE = (Path(__file__).parents[2] / "docs" / "measuring.md").read_text(encoding="utf-8")


def test_every_verdict_code_is_explained_as_the_code_explains_it() -> None:
    """No code more, none less, the same words."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert {code: (status, text) for code, status, text in rows} == CODES


def test_the_least_n_of_every_percentile_is_documented() -> None:
    """p99.9 is p99_9 in the file."""
    rows = re.findall(r"^\| (p[\d.]+) \| (\d+) \|$", PAGE, re.MULTILINE)
    assert {name.replace(".", "_"): int(n) for name, n in rows} == LEAST_N


def test_conservation_names_every_outcome() -> None:
    """In the formula."""
    formula = next(line for line in PAGE.splitlines() if line.startswith("`scheduled ="))
    assert set(re.findall(r"\w+", formula)) == {"scheduled", *OUTCOME_NAMES}

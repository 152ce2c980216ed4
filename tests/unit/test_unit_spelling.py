"""One spelling for microseconds in all that a program shows."""

from __future__ import annotations

import re

from tests.processes import ROOT

FOLDERS = ("harness", "mock_server", "model_server", "reports", "scenarios", "tests/bench")
# A number, or what is filled in for one, and the unit as only an option or a condition spells it.
SHOWN = re.compile(r"(\}|\d) ?us\b")


def test_no_text_shows_microseconds_as_us() -> None:
    """Neither after a number nor after a field of an f-string."""
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if SHOWN.search(line)
    ]
    assert found == []

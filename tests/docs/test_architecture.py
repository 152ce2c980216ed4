"""docs/architecture.md names every file that a request passes: those that run once for each request, and no others."""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from harness.experiment import case_runner
from harness.experiment.event_loop import new_event_loop
from tests.http.test_case_runner import play
from tests.processes import ROOT, mock, spec

pytestmark = pytest.mark.slow

REQUESTS = 200
# Only a request that finds all slots taken waits; how many do is a matter of timing.
WAITING = {"harness/client/gate/watchers.py"}
FILES_MAX = 16
TABLES = {"asyncio": ("Both transports", "Over aiohttp"), "lean": ("Both transports", "Over lean")}


def listed(heading: str) -> set[str]:
    """The files in the table below a heading."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition(f"\n### {heading}\n")[2].partition("\n#")[0]
    rows = re.findall(r"^\| \d+ \|.*$", table, re.MULTILINE)
    return {file for row in rows for file in re.findall(r"`(harness/.*?\.py)`", row)}


@pytest.mark.parametrize("transport", TABLES)
def test_the_page_names_each_file_that_a_request_passes(
    transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files with a function that is called at least nine times for ten requests, in the loop that sends them."""
    calls: Counter[tuple[str, str]] = Counter()

    def called(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            calls[frame.f_code.co_filename, frame.f_code.co_name] += 1

    def watched() -> asyncio.AbstractEventLoop:
        loop = new_event_loop()
        loop.call_soon(sys.setprofile, called)
        return loop

    monkeypatch.setattr(case_runner, "new_event_loop", watched)
    with mock() as server:
        play(spec(server.url, tmp_path / "r", "queue-stream:concurrency=4", items=REQUESTS, transport=transport))
    often = {Path(file) for (file, _), number in calls.items() if number >= 0.9 * REQUESTS}
    passed = {str(file.relative_to(ROOT)) for file in often if file.is_relative_to(ROOT / "harness")}
    assert passed - WAITING == set.union(*map(listed, TABLES[transport]))
    assert len(passed - WAITING) <= FILES_MAX

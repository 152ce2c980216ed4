"""`paceline demo` in virtual time: its point holds, and one page shows both acts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.cli.demo import command
from harness.measure.result import RunResult, decode


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "run"
    assert command.main(["--simulate", "--items", "300", "--out", str(out)], standalone_mode=False) == 0
    return out


def result(played: Path, act: str) -> RunResult:
    return decode((played / act / "result.json").read_bytes())


def test_unbounded_loses_most_of_its_requests_and_adaptive_does_not(played: Path) -> None:
    """On the server with bounds; on the other one nothing fails. Both statuses of a refusal occur."""
    lost = {case.name: 1 - case.counts.ok / 300 for case in result(played, "demo-bounded").cases}
    assert lost["unbounded"] > 0.5
    assert lost["adaptive"] <= 0.01
    assert all(case.counts.ok == 300 for case in result(played, "demo").cases)
    failures = {one.status for case in result(played, "demo-bounded").cases for one in case.failures}
    assert failures == {429, 503}


def test_one_page_shows_both_acts(played: Path) -> None:
    """Advice first, an id of an SVG only once, links to the full reports, which are there."""
    page = (played / "report.html").read_text(encoding="utf-8")
    assert page.index("<h1>Use adaptive if you do not know the server") < page.index("Act 1") < page.index("Act 2")
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert ids
    assert len(ids) == len(set(ids))
    assert "<script" not in page
    links = re.findall(r'href="([^"#]+)"', page)
    assert links == ["demo/report.html", "demo-bounded/report.html"]
    assert all((played / link).is_file() for link in links)

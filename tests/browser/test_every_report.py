"""Each kind of report in a real browser, on a phone and on a desk: no console errors, and nothing cut off."""

from __future__ import annotations

import html as escapes
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.measure.capacity_result import Probe
from harness.measure.judge.capacity.answers import capacity_result
from harness.measure.judge.capacity.probes import judge
from harness.measure.judge.capacity.verdict import capacity_findings, capacity_headline
from harness.measure.result import RunResult, Verdict, decode
from reports import overview
from reports.diff import write as write_diff
from reports.drawing.draw import draw_all
from reports.formats import html
from reports.gate import write as write_gate
from tests import report_samples as samples
from tests.browser.test_report_page import chromium_logged
from tests.comparison_samples import case
from tests.unit.test_capacity_probes import PLAN, TIER, trials
from tests.unit.test_diff import BASE, SLOWER, between, run
from tests.unit.test_gate_judge import gates

pytestmark = [pytest.mark.browser, pytest.mark.slow]
WIDTHS = (390, 1280)
MEASURE = """
const cut = frame => {
  const doc = frame.contentDocument, width = frame.clientWidth;
  const beyond = one => { const box = one.getBoundingClientRect(); return box.width && box.right > width + 1; };
  const parts = [...doc.querySelectorAll('h1,h2,p,li,th,td,dd,summary,svg')].filter(one => !one.closest('.scroll'));
  const wide = [...doc.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth + 1);
  const silent = wide.filter(one => {
    const hint = one.previousElementSibling;
    return !hint || !hint.classList.contains('hint') || getComputedStyle(hint).display === 'none';
  });
  const cells = [...doc.querySelectorAll('th,td:not(:first-child)')].filter(
    one => !one.matches('.words td:last-child'));
  const words = one => [...one.childNodes].filter(node => node.nodeType === 3).flatMap(node =>
    [...node.data.matchAll(/[\\w.]{2,}/g)].map(found => {
      const range = doc.createRange();
      range.setStart(node, found.index);
      range.setEnd(node, found.index + found[0].length);
      return [found[0], range.getClientRects().length];
    }));
  const torn = cells.flatMap(words).filter(([, lines]) => lines > 1).map(([word]) => word);
  const headline = doc.querySelector('h1').getBoundingClientRect();
  return {scroll: doc.documentElement.scrollWidth, cut: parts.filter(beyond).map(one => one.tagName),
    silent: silent.map(one => one.getAttribute('aria-label')), torn: torn, h1: headline.height, top: headline.top};
};
onload = () => { document.title = JSON.stringify([...document.querySelectorAll('iframe')].map(cut)); };
"""
BROKEN = (
    "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    "<h1>One</h1><p style='width: 3000px'>wide</p><div class=scroll style='overflow-x: auto'><p style='width: 3000px'>x"
    "</p></div><table><tr><th style='width: 1px; overflow-wrap: anywhere'>makespan</th></tr></table><script>1</script>"
)


def page_of(result: RunResult) -> str:
    return html.render(result, draw_all(result, png=False))


def capacity(tmp_path: Path) -> str:
    """An answer by rate from made-up trials."""
    probes = [
        judge(Probe(f"rate {load:g}/s", "rate", load), [TIER], trials(1, scale))
        for load, scale in ((40.0, 0.04), (80.0, 0.05), (90.0, 0.2), (85.0, 0.1))
    ]
    found = capacity_result(PLAN, probes)
    said = {"headline": capacity_headline(found, Verdict("valid")), "findings": capacity_findings(found)}
    return page_of(msgspec.structs.replace(samples.single(), capacity=found, **said))


def sweep(tmp_path: Path) -> str:
    given = ["simulate", "sweep", "--server", "structbert-article", "--concurrency", "1:8:x2", "--duration", "1"]
    CliRunner().invoke(cli, [*given, "--out", str(tmp_path / "sweep"), "--quiet", "--no-report"], standalone_mode=False)
    return page_of(decode((tmp_path / "sweep" / "result.json").read_bytes()))


def gate(tmp_path: Path) -> str:
    """One that failed: the report of each side is not there."""
    files = write_gate(gates()[1], tmp_path, ("html",))
    return next(path for path in files if path.suffix == ".html").read_text(encoding="utf-8")


def difference(tmp_path: Path) -> str:
    """Of two runs on machines that differ."""
    after = run(case("queue-stream:concurrency=50", SLOWER), environment={"cpu_model": "B", "libraries": {"a": "1"}})
    write_diff(between(run(case("queue-stream:concurrency=50", BASE)), after), tmp_path)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def repeats(tmp_path: Path) -> str:
    """Long names, and an interval in every figure: the widest main table."""
    given = [
        "simulate",
        "compare",
        "-s",
        "queue-stream:concurrency=8,queue_size=64",
        "-s",
        "queue-stream:concurrency=6",
    ]
    given += ["--server", "llm-annotation", "--task", "annotate", "--items", "300", "--repeats", "4", "--quiet"]
    CliRunner().invoke(cli, [*given, "--out", str(tmp_path / "repeats"), "--no-report"], standalone_mode=False)
    return page_of(decode((tmp_path / "repeats" / "result.json").read_bytes()))


def demo(tmp_path: Path) -> str:
    acts = [
        overview.Act("one", "Act 1", "A server that accepts all.", samples.single()),
        overview.Act("two", "Act 2", "A server with bounds.", samples.failures()),
    ]
    return overview.render(acts, "two acts")


PAGES: dict[str, Callable[[Path], str]] = {
    "compare": lambda tmp_path: page_of(samples.article()),
    "repeats": repeats,
    "run": lambda tmp_path: page_of(samples.stall()),
    "capacity": capacity,
    "sweep": sweep,
    "gate": gate,
    "diff": difference,
    "demo": demo,
    "broken": lambda tmp_path: BROKEN,
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[tuple[str, int], Any], str]:
    """What one browser measured of every page at each width, and its log."""
    folder = tmp_path_factory.mktemp("pages")
    for name, make in PAGES.items():
        (folder / f"{name}.html").write_text(make(folder), encoding="utf-8")
    places = [(name, width) for name in PAGES for width in WIDTHS]
    frames = "".join(
        f"<iframe src={name}.html style='width:{width}px;height:900px'></iframe>" for name, width in places
    )
    style = "<style>iframe { border: 0; display: block }</style>"
    (folder / "all.html").write_text(f"{style}{frames}<script>{MEASURE}</script>")
    more = ["--allow-file-access-from-files", "--window-size=1300,1000", "--enable-logging=stderr"]
    dom, log = chromium_logged(*more, profile=folder / "profile", url=f"file://{folder}/all.html")
    found = re.search(r"<title>([^<]+)</title>", dom)
    assert found
    return dict(zip(places, json.loads(escapes.unescape(found[1])), strict=True)), log


@pytest.mark.parametrize("kind", [name for name in PAGES if name != "broken"])
def test_nothing_is_cut_and_the_console_is_silent(kind: str, seen: tuple[dict[tuple[str, int], Any], str]) -> None:
    measured, log = seen
    for width in WIDTHS:
        page = measured[kind, width]
        assert (page["scroll"], page["cut"]) == (width, [])
        # The headline leaves more than half of a phone's first screen to the findings.
        assert page["top"] < 120
        assert page["h1"] < 300
        # A part that scrolls sideways on a phone says so; at a desk none does.
        assert page["silent"] == []
        # A column is as wide as its longest word: no letters below each other.
        assert page["torn"] == []
    assert not [line for line in log.splitlines() if "CONSOLE" in line and f"{kind}.html" in line]


def test_the_check_sees_a_page_that_is_cut_and_one_that_logs(seen: tuple[dict[tuple[str, int], Any], str]) -> None:
    """Else the test above could not fail."""
    measured, log = seen
    page = measured["broken", 390]
    assert page["scroll"] > 390
    assert page["cut"] == ["P"]
    assert page["silent"] == [None]
    assert page["torn"] == ["makespan"]
    assert any("CONSOLE" in line and "broken.html" in line for line in log.splitlines())

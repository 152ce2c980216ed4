"""A sweep at the terminal, in report.md, report.html and its chart."""

from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from harness.cli.sweep_show import show_sweep
from harness.measure.judge.sweep.verdict import sweep_verdict
from harness.measure.judge.sweep.wording import findings, headline
from harness.measure.result import Quantile, RunResult
from harness.measure.sweep_result import SweepResult
from reports.charts.sweep import _key
from reports.drawing.draw import draw_all
from reports.drawing.theme import LIGHT
from reports.formats import html, junit, markdown
from tests.simulation.sweep.made_up import VALID, case, curve, judged
from tests.simulation.sweep.test_judgement import CAP, LEVELS


def result_of(found: SweepResult) -> RunResult:
    """A result with this sweep."""
    verdict = sweep_verdict(found, VALID)
    cases = [msgspec.structs.replace(one, slo=[]) for one in curve(CAP)]
    said = {"headline": headline(found, verdict), "findings": findings(found)}
    return RunResult(1, "x", "", {}, {}, 1, None, verdict, cases=cases, sweep=found, **said)


@pytest.fixture(scope="module")
def result() -> RunResult:
    """Sixteen and more in flight fail the SLO."""
    cases = [case(level, [CAP[level]], Quantile(0.1 if level < 16 else 0.4)) for level in LEVELS]
    return result_of(judged(cases, "service_p99<200ms"))


@pytest.mark.parametrize(("width", "hidden"), [(140, False), (80, True)])
def test_the_terminal_has_a_row_for_each_level(result: RunResult, width: int, hidden: bool) -> None:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    show_sweep(result, console, brief=False, narrow=112)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined] # a StringIO
    assert ("95 % interval" not in lines[0]) is hidden
    assert [line.split()[0] for line in lines[1:8]] == ["1", "2", "4", "8", "16", "32", "64"]
    assert "knee, SLO holds" in lines[4]
    assert lines[8].startswith("Set concurrency to 8 (80/s, p99 100 ms); beyond 8 you only add latency")
    assert max(map(len, lines)) <= width


def test_brief_has_the_headline_only(result: RunResult) -> None:
    console = Console(file=io.StringIO(), width=200)
    show_sweep(result, console, brief=True, narrow=112)
    assert console.file.getvalue().strip() == result.headline  # type: ignore[attr-defined] # a StringIO


def test_the_reports_have_the_table_and_the_advice(result: RunResult) -> None:
    page, text = html.render(result), markdown.render(result)
    for report in (page, text):
        assert "Sweep by concurrency" in report
        assert "Set concurrency to 8" in report
        assert "Little residual" in report
        assert "What set the pace" not in report
    assert text.count("| SLO fails |") == 3
    assert "<h2>Comparison</h2>" not in page


def test_the_chart_is_the_only_one_and_is_drawn(result: RunResult) -> None:
    (drawing,) = draw_all(result)
    assert (drawing.name, drawing.error) == ("sweep", "")
    assert len(drawing.png) > 1000
    assert drawing.words.startswith("Set concurrency to 8")


def test_a_sweep_without_a_success_has_a_report_without_a_chart() -> None:
    empty = result_of(judged([case(level, [0.0], failed=10) for level in LEVELS]))
    assert draw_all(empty, png=False) == []
    assert "nothing to recommend" in markdown.render(empty)


def test_the_key_of_the_chart_calls_the_end_of_the_grid_an_end() -> None:
    rising, bent = judged(curve({1.0: 10.0, 2.0: 20.0, 4.0: 40.0})), judged(curve(CAP))
    assert "highest measured 4" in [words for words, _ in _key(rising, LIGHT)]
    assert "knee 8" in [words for words, _ in _key(bent, LIGHT)]


def test_an_slo_that_fails_for_a_growing_queue_says_so() -> None:
    """Its latencies within the limit would contradict the finding."""
    points = [
        msgspec.structs.replace(point, kept_up=point.level < 16, slo="holds" if point.level < 16 else "fails")
        for point in judged(curve(CAP)).points
    ]
    found = msgspec.structs.replace(
        judged(curve(CAP)), by="rate", points=points, slo="p95<3s", capacity=8.0, fails_from=16.0
    )
    expected = (
        "The SLO p95<3s holds up to 8/s, fails from 16/s: a queue grows there, so latencies depend on its length."
    )
    assert findings(found)[0] == expected
    late = [msgspec.structs.replace(point, slo_words=["p95 4 s"]) for point in points]
    assert "fails from 16/s." in findings(msgspec.structs.replace(found, points=late))[0]
    none = msgspec.structs.replace(found, capacity=None, fails_from=16.0)
    assert findings(none)[0] == "The SLO is p95<3s. At 16/s a queue grows."


def test_junit_judges_the_sweep_as_a_whole(result: RunResult) -> None:
    text = junit.render(result)
    assert 'tests="1" failures="0" errors="0"' in text
    assert "Set concurrency to 8" in text

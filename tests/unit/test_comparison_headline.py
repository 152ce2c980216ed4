"""The headline with repeats, the ranking, and the comparisons in result.json and in reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.main import main
from harness.client.errors import UsageError
from harness.experiment.prepare import prepare
from harness.experiment.settings import RunSettings
from harness.measure.judge.comparison import ranked
from harness.measure.judge.headline import findings, headline
from harness.measure.reduce.summary import summarize_run
from harness.measure.result import Case, Verdict, decode
from reports.formats import html, markdown
from tests.comparison_samples import case

BASE = [100.0, 103.0, 98.0, 101.0, 97.0, 104.0, 99.0, 102.0]
NOISY = [value * factor for value, factor in zip(BASE, [0.6, 2.0] * 4, strict=True)]
VALID = Verdict("valid")


def found(*cases: Case) -> str:
    """The findings below the headline."""
    return " ".join(findings(cases, VALID))


def test_a_difference_that_is_not_found_makes_no_strategy_the_fastest() -> None:
    """30 % more on average, in pairs that go up and down by half: the rule for a single run would call it fastest."""
    cases = [case("steady", BASE), case("noisy", NOISY)]
    assert headline(cases, VALID).startswith("Use noisy or steady for a batch job")
    said = found(*cases)
    assert said.startswith("For a batch job: no difference found between steady and noisy (throughput: an effect of ")
    assert " % would have been seen). " in said
    single = [case("steady", BASE[:1]), case("noisy", [130.0])]
    assert "noisy is fastest" in found(*single)
    assert headline(single, VALID).startswith("Use noisy for a batch job")


def test_a_small_difference_that_is_found_counts() -> None:
    """2 % in every pair, which the rule for a single run would not see."""
    said = found(case("a", BASE), case("b", [1.02 * value for value in BASE]))
    assert "b is fastest" in said
    assert "b is fastest" not in found(case("a", BASE[:1]), case("b", [102.0]))


def test_cases_that_are_no_worse_share_first_place() -> None:
    cases = [case("a", BASE), case("b", [*BASE[1:], BASE[0]]), case("slow", [value / 2 for value in BASE])]
    assert "a and b are fastest" in found(*cases)


def test_a_case_that_is_found_worse_is_not_recommended_with_the_best() -> None:
    """5 % in every pair: within the noise of a single run, and found with eight."""
    cases = [case("a", BASE), case("b", [0.95 * value for value in BASE])]
    assert headline(cases, VALID).startswith("Use a for a batch job")
    single = [case("a", BASE[:1]), case("b", [0.95 * BASE[0]])]
    assert headline(single, VALID).startswith("Use a or b for a batch job")


def test_too_few_repeats_keep_the_rule_for_single_runs() -> None:
    said = found(case("a", BASE[:3]), case("b", [2 * value for value in BASE[:3]]))
    assert "b is fastest" in said


def test_the_best_comes_first() -> None:
    """By throughput in a batch job, by the tail under arrivals."""
    cases = [case(name, [factor * v for v in BASE]) for name, factor in (("a", 1.0), ("b", 0.5), ("c", 2.0))]
    assert [one.case for one in ranked(cases)] == ["c", "b"]
    assert [one.case for one in ranked(cases, "c")] == ["a", "b"]
    assert ranked(cases, "gone") == []
    assert ranked([case("a", BASE[:1]), case("b", BASE[:1])]) == []
    assert ranked([case("a", BASE)]) == []
    arrivals = [case("a", BASE, "poisson"), case("b", [v / 2 for v in BASE], "poisson"), case("c", BASE, "poisson")]
    assert [one.case for one in ranked(arrivals)] == ["c", "b"]


def test_an_unknown_reference_is_refused(tmp_path: Path) -> None:
    settings = RunSettings(strategies=("sync", "adaptive"), simulated=True, out=tmp_path / "x", reference="adaptiv")
    with pytest.raises(UsageError, match="--reference adaptiv: no such case; cases: sync, adaptive"):
        prepare(settings)
    assert not (tmp_path / "x").exists()


def test_compare_ranks_against_the_reference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Terminal, result.json and both reports; computed again from plan and records."""
    out = tmp_path / "run"
    arguments = ["simulate", "compare", "-s", "sync", "-s", "queue-stream:concurrency=4", "--server", "demo"]
    arguments += ["--items", "320", "--repeats", "8", "--reference", "queue-stream:concurrency=4", "--out", str(out)]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "sync against queue-stream:concurrency=4: throughput x0." in shown
    result = decode((out / "result.json").read_bytes())
    [one] = result.comparisons
    assert (one.case, one.reference, one.paired) == ("sync", "queue-stream:concurrency=4", True)
    assert one.figures[0].decision == "worse"
    assert summarize_run(out).comparisons == result.comparisons
    page = markdown.render(result)
    assert "## Against queue-stream:concurrency=4" in page
    assert "| sync | throughput |" in page
    assert "<h2>Against queue-stream:concurrency=4</h2>" in html.render(result)

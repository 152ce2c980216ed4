"""Two finished runs: what may be compared, what differs, what follows, and with which exit code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.cli.main import main
from harness.measure.diff_result import Diff
from harness.measure.judge.comparison_words import interval
from harness.measure.judge.conditions import FinishedRun
from harness.measure.judge.diff import EXIT_CODES, diff
from harness.measure.result import Case, Load, Reason, RunResult, Target, Verdict, encode
from reports.diff import markdown
from tests.comparison_samples import case

BASE = [100.0, 103.0, 98.0, 101.0, 97.0, 104.0, 99.0, 102.0]
SLOWER = [value * 0.9 for value in BASE]


def run(*cases: Case, **changes: Any) -> RunResult:
    """A valid run of these cases."""
    result = RunResult(
        schema_version=1,
        id="today",
        started_at="2026-01-02T00:00:00+00:00",
        tool={"version": "1"},
        environment={"cpu_model": "A", "cpu_cores": 2, "load_average_1m": 0.3, "libraries": {"aiohttp": "3"}},
        seed=1,
        schedule_sha256="abc",
        verdict=Verdict("valid"),
        headline="",
        cases=list(cases),
    )
    return msgspec.structs.replace(result, **changes)


def between(before: RunResult, after: RunResult, **more: Any) -> Diff:
    return diff(FinishedRun(msgspec.structs.replace(before, id="yesterday")), FinishedRun(after), **more)


def saved(folder: Path, name: str, result: RunResult) -> str:
    path = folder / name
    path.mkdir()
    (path / "result.json").write_bytes(encode(msgspec.structs.replace(result, id=name)))
    return str(path)


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["diff", *arguments])
    return int(ended.value.code or 0)


def test_a_slower_run_is_worse_and_drift_is_named() -> None:
    found = between(run(case("adaptive", BASE)), run(case("adaptive", SLOWER)))
    assert (found.status, EXIT_CODES[found.status]) == ("worse", 1)
    assert found.text.startswith("Worse: adaptive (throughput, service p50, service p95, service p99). ")
    assert "a change of the machine between them can look like this too" in found.text
    assert not found.paired
    assert not found.changed


def test_the_same_run_is_no_worse() -> None:
    found = between(run(case("adaptive", BASE)), run(case("adaptive", [*BASE[3:], *BASE[:3]])))
    assert found.status == "no worse"
    assert found.text == "No difference found. An effect of 5.9 % would have been seen in each figure."
    figure = found.comparisons[0].figures[0]
    assert figure.detectable is not None
    assert 0.03 < figure.detectable < 0.1
    assert interval(figure) == "[0.971, 1.030]"


def test_a_better_run_is_no_worse() -> None:
    found = between(run(case("adaptive", SLOWER)), run(case("adaptive", BASE)))
    assert found.status == "no worse"
    assert found.text.startswith("Better: adaptive (throughput")


@pytest.mark.parametrize(("limit", "status"), [(0.0, "worse"), (0.03, "worse"), (0.1, "no worse")])
def test_a_limit_lets_small_changes_pass(limit: float, status: str) -> None:
    assert between(run(case("a", BASE)), run(case("a", SLOWER)), limit=limit).status == status


@pytest.mark.parametrize(("repeats", "needed"), [(1, 5), (4, 5)])
def test_too_few_repeats_are_no_verdict(repeats: int, needed: int) -> None:
    """Ten times slower, and yet not to be told from noise by the rule."""
    found = between(run(case("a", BASE[:repeats])), run(case("a", [value / 10 for value in BASE[:repeats]])))
    assert (found.status, EXIT_CODES[found.status]) == ("not enough repeats", 5)
    assert f"{repeats} repeats in each run, {needed} are needed" in found.text
    assert f"--repeats {needed}" in found.text


def test_cases_and_figures_are_one_family() -> None:
    """Each case more makes it harder to find a difference, because the claim is that something is worse."""
    one = between(run(case("a", BASE[:5])), run(case("a", SLOWER[:5])))
    two = between(*(run(case("a", rates[:5]), case("b", rates[:5])) for rates in (BASE, SLOWER)))
    assert one.status == "worse"
    assert two.status == "not enough repeats"


def test_an_invalid_measurement_proves_nothing() -> None:
    bad = run(case("a", SLOWER), verdict=Verdict("invalid", [Reason("lag", "late")]))
    found = between(run(case("a", BASE)), bad)
    assert (found.status, EXIT_CODES[found.status]) == ("invalid", 4)
    assert found.text == "The measurement of today is invalid, so nothing follows from the difference."


def test_an_inconclusive_measurement_does_not_pass() -> None:
    stopped = run(case("a", BASE), verdict=Verdict("inconclusive", [Reason("interrupted", "stopped")]))
    found = between(run(case("a", BASE)), stopped)
    assert found.status == "not enough repeats"
    assert "The measurement of today is inconclusive." in found.text


def test_a_figure_that_vanished_does_not_pass() -> None:
    """p99 of the second run is missing because too few requests succeeded."""
    gone = case("a", BASE)
    lost = [msgspec.structs.replace(one, service_time_s=type(one.service_time_s)()) for one in gone.by_repeat]
    found = between(run(case("a", BASE)), run(msgspec.structs.replace(gone, by_repeat=lost)))
    assert found.status == "not enough repeats"


def test_simulated_runs_with_one_seed_are_pairs() -> None:
    """No machine took part, so repeats with the same number met the same chance."""
    first, second = (run(case("a", rates), simulated=True) for rates in (BASE, [1.001 * v for v in BASE]))
    assert between(first, second).paired
    assert between(first, second).text.startswith("Better: a (throughput")
    assert "different times" not in between(first, second).text
    assert not between(first, msgspec.structs.replace(second, seed=2)).paired


OTHER_LOADS: Sequence[tuple[RunResult, str]] = [
    (run(case("b", BASE)), "cases (no name in common)"),
    (run(case("a", BASE), schedule_sha256="def"), "schedule"),
    (run(case("a", BASE), simulated=True), "simulated"),
    (run(msgspec.structs.replace(case("a", BASE), task="chat")), "case a: task"),
    (run(msgspec.structs.replace(case("a", BASE), load=Load("poisson", {"rate_per_s": 9}))), "case a: load.kind"),
]


@pytest.mark.parametrize(("other", "name"), OTHER_LOADS, ids=[name for _, name in OTHER_LOADS])
def test_another_load_is_refused(
    other: RunResult, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 2 and the difference; --force overrules it."""
    first, second = saved(tmp_path, "first", run(case("a", BASE))), saved(tmp_path, "second", other)
    assert command(first, second) == 2
    said = capsys.readouterr().err
    assert f"cannot be compared: {name}" in said
    assert "Add --force" in said
    assert command(first, second, "--force") == (5 if name.startswith("cases") else 0)
    assert f"NOT THE SAME: {name}" in capsys.readouterr().out


def test_other_conditions_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Machine, versions, server, strategy, layers and seed; not the load average, which always differs."""
    of = {"cpu_model": "B", "cpu_cores": 2, "load_average_1m": 9.0, "libraries": {"aiohttp": "4"}}
    moved = case("a", BASE, target=Target("http://127.0.0.1:1", "slow"))
    moved = msgspec.structs.replace(moved, layers={"retries": 2}, strategy=type(moved.strategy)("a", {"maximum": 9}))
    other = run(moved, environment=of, tool={"version": "2"}, seed=2)
    found = between(run(case("a", BASE)), other)
    assert [one.label for one in found.changed] == [
        *("tool.version", "environment.cpu_model", "library.aiohttp", "seed"),
        *("case a: server.server", "case a: strategy.settings.maximum", "case a: layers.retries"),
    ]
    assert not found.obstacles
    assert command(saved(tmp_path, "x", run(case("a", BASE))), saved(tmp_path, "y", other)) == 0
    assert "differs: environment.cpu_model: A -> B" in capsys.readouterr().out


def test_one_change_of_all_cases_is_one_line() -> None:
    slow = Target("http://127.0.0.1:1", "slow")
    first = run(case("a", BASE), case("b", BASE))
    second = run(case("a", BASE, target=slow), case("b", BASE, target=slow))
    assert [one.name for one in between(first, second).changed] == ["server.server"]


def test_a_colon_in_the_name_of_a_case_is_a_part_of_it() -> None:
    """The case has a field of its own; the name of the condition stays whole."""
    slow = Target("http://127.0.0.1:1", "slow")
    first = run(case("a: b", BASE), case("c: d", BASE))
    second = run(case("a: b", BASE, target=slow), case("c: d", BASE, target=slow))
    assert [(one.case, one.name) for one in between(first, second).changed] == [(None, "server.server")]
    (only,) = between(first, run(case("a: b", BASE, target=slow), case("c: d", BASE))).changed
    assert (only.case, only.name, only.label) == ("a: b", "server.server", "case a: b: server.server")


def test_cases_of_one_run_only_are_named() -> None:
    found = between(run(case("a", BASE), case("b", BASE)), run(case("c", BASE), case("a", BASE)))
    assert (found.only_before, found.only_after) == (["b"], ["c"])
    assert [comparison.case for comparison in found.comparisons] == ["a"]


def test_json_and_markdown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = saved(tmp_path, "x", run(case("a|b", BASE))), saved(tmp_path, "y", run(case("a|b", SLOWER)))
    assert command(first, f"{second}/result.json", "--json", "--figure", "completed") == 1
    shown = json.loads(capsys.readouterr().out)
    assert shown["status"] == "worse"
    assert [figure["figure"] for figure in shown["comparisons"][0]["figures"]] == ["completed"]
    assert command(first, second, "--markdown") == 1
    page = capsys.readouterr().out
    assert page.startswith("# ✖ x against y: worse\n\nWorse: a\\|b (throughput")
    assert r"| a\|b | throughput | 100/s | 90.5/s | x0.90 | \[0.87, 0.93\] | worse |" in page
    assert command(first, second, "--markdown", "--json") == 2


def test_markdown_shows_that_it_was_forced() -> None:
    found = between(run(case("a", BASE)), run(case("a", BASE), schedule_sha256="def"))
    assert "They were compared by force." in markdown(found)
    assert "| schedule | abc (seed 1) | def (seed 1) |" in markdown(found)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("none", "none"), "none: no such run directory or result.json"),
        ((".", "."), ".: not a run directory (it has no plan.json and no result.json)"),
        (("x", "x", "--figure", "speed"), "figure 'speed': unknown; figures: completed"),
        (("x", "x", "--limit", "much"), "'much' is not a share such as 5% or 0.05"),
        (("bad", "x"), "bad/result.json: Input data was truncated"),
        (("latin", "x"), "latin/result.json: not UTF-8"),
        (("deep", "x"), "deep/result.json: nested too deeply"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: tuple[str, ...],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, "x", run(case("a", BASE)))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "result.json").write_text("{")
    (tmp_path / "latin").mkdir()
    (tmp_path / "latin" / "result.json").write_bytes(b'{"schema_version": 1, "id": "\xff"}')
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "result.json").write_text('{"schema_version": 1, "id": ' + "[" * 5000 + "]" * 5000 + "}")
    assert command(*arguments) == 2
    said = capsys.readouterr().err
    assert says in said
    assert len(said.splitlines()) == 1


def test_the_reports_of_a_diff_replace_others_only_if_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And their text is escaped: names come from a result file."""
    hostile = "<script>alert(1)</script>"
    runs = [
        saved(tmp_path, name, run(case(hostile, rates))) for name, rates in (("yesterday", BASE), ("today", SLOWER))
    ]
    out = tmp_path / "diff"
    assert command(*runs, "--out", str(out)) == 1
    assert {path.name for path in out.rglob("*.*")} == {"report.html", "report.md", "diff.json", "forest.png"}
    page = (out / "report.html").read_text()
    assert "<svg" in page
    assert hostile not in page
    assert "charts/forest.png" in (out / "report.md").read_text()
    assert command(*runs, "--out", str(out)) == 2
    assert "add --overwrite" in capsys.readouterr().err
    assert command(*runs, "--out", str(out), "--overwrite") == 1

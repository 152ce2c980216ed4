"""`paceline runs`: what is listed, what is left out and why, and where the trend of a case breaks."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.cli.main import main
from harness.measure.capacity_result import Capacity, CapacityPlan, CapacityResult
from harness.measure.gate_result import Gate
from harness.measure.gate_result import encode as encode_gate
from harness.measure.reduce.run_list import read_folder
from harness.measure.result import Named, Quantile, Rates, Reason, RunResult, Target, Verdict, encode
from harness.measure.run_list_result import RunList
from tests.report_samples import HOSTILE, article, hostile

MACHINE = {"cpu_model": "A", "cpu_cores": 2, "git_sha": "c0"}


def night(day: int, **changes: Any) -> RunResult:
    """One run of a series, of one case."""
    rates = Rates(completed=50.0 + day, completed_low=49.0 + day, completed_high=51.5 + day)
    case = msgspec.structs.replace(BASE.cases[0], rates_per_s=rates, **changes.pop("case", {}))
    fixed = {"environment": MACHINE, "schedule_sha256": "s", "cases": [case]}
    started = f"2026-03-{day:02d}T04:00:00+00:00"
    return msgspec.structs.replace(BASE, id=f"night-{day}", started_at=started, **{**fixed, **changes})


BASE = article(300)
CASE = BASE.cases[0].name


def saved(folder: Path, name: str, result: RunResult) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "result.json").write_bytes(encode(result))
    return folder / name


def runs(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["runs", *map(str, arguments)])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def listed(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> RunList:
    code, out, _ = runs(capsys, *arguments, "--json")
    assert code == 0
    return msgspec.json.decode(out, type=RunList)


def gate(**changes: Any) -> Gate:
    base = Gate(1, "failed", "p99 is worse", [], "main", "branch", True, 6, 0, 0.05, None, "2026-03-09T04:00:00+00:00")
    return msgspec.structs.replace(base, **changes)


def test_runs_come_by_time_with_the_figures_of_their_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not by name; the figures are those of result.json to the last digit."""
    for name, day in (("a", 3), ("b", 1), ("c", 2)):
        saved(tmp_path, name, night(day))
    # An instant in another zone sorts by what it means: 23:00 of the first in Greenwich.
    saved(tmp_path, "d", msgspec.structs.replace(night(1), started_at="2026-03-02T01:00:00+02:00"))
    found = listed(capsys, tmp_path)
    assert [run.path for run in found.runs] == ["a", "c", "d", "b"]
    figures = {figure.figure: figure for figure in found.runs[0].cases[0].figures}
    source = night(3).cases[0]
    assert figures["completed"].value == source.rates_per_s.completed
    assert (figures["completed"].low, figures["completed"].high) == (52.0, 54.5)
    assert figures["service_p99"].value == source.service_time_s.p99.value
    assert [point.value for point in found.trends[0].points] == [51.0, 51.0, 52.0, 53.0]
    code, out, _ = runs(capsys, tmp_path)
    assert code == 0
    assert out.index(" a ") < out.index(" c ") < out.index(" b ")


BAD = {
    "torn": (b'{"schema_version": 1, "id": "x', "damaged"),
    "old": (b'{"schema_version": 0}', "schema_version 0, not 1"),
    "newer": (b'{"schema_version": 99}', "schema_version 99, not 1"),
    "other": (b'{"scores": [1, 2]}', "damaged"),
    "empty": (b"", "damaged"),
    "list": (b"[]", "damaged"),
    "deep": (b"[" * 100_000, "damaged"),
    "binary": (b"\xff\xfe\x00", "damaged"),
    "huge": (b'{"schema_version": ' + b"9" * 5000 + b"}", "damaged"),
}


def test_what_cannot_be_listed_is_named_and_does_not_stop_the_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path, "good", night(1))
    expected = {}
    for name, (content, reason) in BAD.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_bytes(content)
        expected[name] = reason
    for name, file, reason in (
        ("running", "plan.json", "still runs, or was interrupted"),
        ("compared", "diff.json", "a comparison of two runs"),
        ("foreign", "holiday.jpg", "not a run directory"),
        ("bad-gate", "gate.json", "gate.json is damaged"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_bytes(b"{}")
        expected[name] = reason
    (tmp_path / "a-file.txt").write_text("")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "folded" / "result.json").mkdir(parents=True)
    expected["folded"] = "not a run directory"
    found = listed(capsys, tmp_path)
    assert [run.path for run in found.runs] == ["good"]
    reasons = {one.path: one.reason for one in found.left}
    assert reasons.keys() == expected.keys()
    for name, reason in expected.items():
        assert reason in reasons[name], name
    code, out, _ = runs(capsys, tmp_path)
    assert code == 0
    assert len(re.findall(r"^not listed: ", out, re.MULTILINE)) == len(expected)


def test_a_partial_run_is_listed_and_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(tmp_path, "stopped", night(1, case={"partial": True}, verdict=Verdict("inconclusive")))
    assert listed(capsys, tmp_path).runs[0].partial
    assert "inconclusive, partial" in runs(capsys, tmp_path)[1]


def test_a_gate_is_listed_with_its_verdict_and_the_figures_of_its_candidate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path, "run", night(1))
    saved(tmp_path / "ci", "candidate", night(9))
    (tmp_path / "ci" / "gate.json").write_bytes(encode_gate(gate()))
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "gate.json").write_bytes(encode_gate(gate(started_at="")))
    found = listed(capsys, tmp_path)
    assert [(run.path, run.kind, run.status) for run in found.runs] == [
        ("ci", "gate", "failed"),
        ("run", "run", "valid"),
        ("alone", "gate", "failed"),
    ]
    assert [point.path for point in found.trends[0].points] == ["run", "ci"]
    assert [run.path for run in listed(capsys, tmp_path, "--kind", "gate").runs] == ["ci", "alone"]
    assert [run.path for run in listed(capsys, tmp_path, "--case", CASE).runs] == ["ci", "run"]
    assert listed(capsys, tmp_path, "--case", "no such case").runs == []


def test_a_capacity_search_is_listed_with_its_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its probes are no cases of a trend."""
    answer = Capacity("rate", "p99<1s", "answered", 40.0, 44.0, text="The server holds p99<1s up to 40 to 44/s.")
    found = CapacityResult([answer], [], 60.0, CapacityPlan(["p99<1s"], ["rate"]))
    saved(tmp_path, "a", night(1, capacity=found))
    saved(tmp_path, "b", night(2, capacity=found, headline=""))
    saved(tmp_path, "c", night(3))
    result = listed(capsys, tmp_path, "--kind", "capacity")
    assert [(run.path, run.kind, run.text) for run in result.runs] == [
        ("b", "capacity", answer.text),
        ("a", "capacity", answer.text),
    ]
    assert result.trends == []
    assert answer.text in runs(capsys, tmp_path)[1]
    assert page_of(tmp_path, capsys).count(html.escape(answer.text)) == 2


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"environment": {**MACHINE, "cpu_model": "B"}}, "environment.cpu_model"),
        ({"schedule_sha256": "other"}, "schedule"),
        ({"case": {"target": Target("http://b")}}, "server.url"),
        ({"case": {"strategy": Named("sync", {"concurrency": 9})}}, "strategy"),
        ({"case": {"layers": {"retry": 3}}}, "layers.retry"),
        ({"case": {"load": msgspec.structs.replace(BASE.cases[0].load, items=7)}}, "load.items"),
    ],
)
def test_a_break_in_comparability_is_marked_once(
    changes: dict[str, Any], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Between the two runs that differ, and not between those that are alike."""
    saved(tmp_path, "1", night(1))
    saved(tmp_path, "2", night(2))
    saved(tmp_path, "3", night(3, **changes))
    saved(tmp_path, "4", msgspec.structs.replace(night(3, **changes), started_at="2026-03-04T00:00:00+00:00"))
    points = listed(capsys, tmp_path).trends[0].points
    assert [bool(point.broken) for point in points] == [False, False, True, False]
    assert any(one.name.startswith(name) for one in points[2].broken)


def test_what_a_trend_is_there_to_show_is_no_break(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another commit or version is named; another port of a server that paceline started is nothing."""
    served = [{"target": Target(f"http://127.0.0.1:{port}", "demo")} for port in (1, 2)]
    saved(tmp_path, "1", night(1, case=served[0]))
    saved(tmp_path, "2", night(2, case=served[1], tool={"version": "9"}))
    changed = msgspec.structs.replace(
        night(3, case=served[0], tool={"version": "9"}), environment={**MACHINE, "git_sha": "d"}
    )
    saved(tmp_path, "3", changed)
    points = listed(capsys, tmp_path).trends[0].points
    assert [point.broken for point in points] == [[], [], []]
    assert "tool.version" in {one.name for one in points[1].changed}
    assert [one.name for one in points[2].changed] == ["commit"]


def test_cases_of_one_name_under_another_load_are_trends_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path, "1", night(1))
    saved(tmp_path, "2", night(2, case={"scenario": "spike"}))
    saved(tmp_path, "3", msgspec.structs.replace(night(3), simulated=True))
    trends = [trend for trend in listed(capsys, tmp_path).trends if trend.figure == "completed"]
    assert [(trend.scenario, trend.simulated, len(trend.points)) for trend in trends] == [
        (BASE.cases[0].scenario, BASE.simulated, 1),
        ("spike", BASE.simulated, 1),
        (BASE.cases[0].scenario, True, 1),
    ]


def page_of(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    page = folder / "index.html"
    assert runs(capsys, folder, "--html", page)[0] == 0
    return page.read_text(encoding="utf-8")


def test_the_page_draws_points_with_intervals_and_breaks_the_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in range(1, 7):
        machine = {**MACHINE, "cpu_model": "A" if day < 4 else "B"}
        directory = saved(tmp_path, f"n{day}", msgspec.structs.replace(night(day), environment=machine))
        (directory / "report.html").write_text("x")
    page = page_of(tmp_path, capsys)
    chart = page.split('<div class="trend">')[1]
    assert chart.count("<title>") == chart.count('class="within"') == 6
    assert chart.count('class="break"') == 1
    # Three runs on each side of the new machine.
    assert [line.count(",") for line in re.findall(r'points="([^"]+)"', chart)] == [3, 3]
    assert "before n4: environment.cpu_model: A → B" in page
    links = set(re.findall(r'href="([^"]+)"', page))
    assert links == {f"./n{day}/report.html" for day in range(1, 7)}
    assert all((tmp_path / link).is_file() for link in links)


def test_no_line_leads_through_an_invalid_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is drawn as a cross, and the runs beside it stay connected."""
    for day in range(1, 6):
        saved(tmp_path, f"n{day}", night(day, verdict=Verdict("invalid" if day == 3 else "valid")))
    chart = page_of(tmp_path, capsys).split('<div class="trend">')[1]
    assert chart.count('class="cross"') == 1
    assert [line.count(",") for line in re.findall(r'points="([^"]+)"', chart)] == [4]


def test_the_page_needs_nothing_from_outside_and_escapes_every_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path, "hostile", hostile())
    bad = tmp_path / "<img src=x onerror=alert(1)>"
    bad.mkdir()
    scheme = saved(tmp_path, "javascript:alert(1)", night(1, case={"name": HOSTILE}, headline=HOSTILE))
    (scheme / "report.html").write_text("x")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "result.json").write_bytes(b'{"schema_version": "<b>"}')
    page = page_of(tmp_path, capsys)
    assert "<script" not in page
    assert "<img" not in page
    assert 'href="javascript' not in page
    assert "./javascript%3Aalert%281%29/report.html" in page
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:|//|data:)""", page)
    assert "@import" not in page
    assert "url(" not in page


def test_names_that_are_no_unicode_do_not_stop_list_or_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import os

    name = os.fsdecode(b"n\xff\xfe")
    saved(tmp_path, name, night(1))
    (tmp_path / name / "report.html").write_text("x")
    saved(tmp_path, "line\nbreak \x1b[31m", night(2))
    assert len(listed(capsys, tmp_path).runs) == 2
    assert "\x1b[31m" not in runs(capsys, tmp_path)[1]
    assert "<main>" in page_of(tmp_path, capsys)


def test_values_that_are_missing_or_flat_are_drawn_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = msgspec.structs.replace(BASE.cases[0].service_time_s, p99=Quantile())
    for day, changes in enumerate(({}, {"service_time_s": few}, {"rates_per_s": Rates(completed=0.0)}), start=1):
        saved(tmp_path, str(day), night(day))
        case = msgspec.structs.replace(night(day).cases[0], **changes)
        (tmp_path / str(day) / "result.json").write_bytes(encode(msgspec.structs.replace(night(day), cases=[case])))
    trends = {trend.figure: trend for trend in listed(capsys, tmp_path).trends}
    assert [point.value is None for point in trends["service_p99"].points] == [False, True, False]
    assert "nan" not in page_of(tmp_path, capsys).lower()


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(tmp_path, "one", night(1))
    for arguments, said in (
        ([tmp_path / "no"], "no such folder"),
        ([tmp_path / "one"], "is a run itself"),
        ([tmp_path / "one" / "result.json"], "no such folder"),
        ([tmp_path, "--html", tmp_path / "no" / "x.html"], "--html"),
        ([tmp_path, "--kind", "soak"], "soak"),
    ):
        code, _, err = runs(capsys, *arguments)
        assert code == 2
        assert said in err
        assert len(err.strip().splitlines()) == 1


def test_the_page_of_the_working_directory_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Runs in .` means nothing to those who get the page."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["runs", ".", "--html", "index.html"])
    assert f"<h1>Runs in {tmp_path.resolve()}</h1>" in (tmp_path / "index.html").read_text()


def test_an_empty_folder_is_no_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = runs(capsys, tmp_path)
    assert code == 0
    assert "no runs to list" in out
    assert "No runs to list" in page_of(tmp_path, capsys)


def test_the_heavy_parts_of_a_result_are_not_kept(tmp_path: Path) -> None:
    """A folder of a thousand runs must not hold a thousand timelines."""
    result = msgspec.structs.replace(night(1), verdict=Verdict("invalid", [Reason("lag", "x")]))
    directory = saved(tmp_path, "big", result)
    read, _ = read_folder(tmp_path)
    kept = len(msgspec.json.encode(read[0]))
    assert kept < 6000
    assert (directory / "result.json").stat().st_size > 3 * kept
    assert json.loads(msgspec.json.encode(read[0].run))["status"] == "invalid"

"""Formats for other programs: golden files, readers of each format, and hostile texts."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import junitparser
import msgspec
import pytest
from click.testing import CliRunner
from pytest_benchmark.stats import Stats

from harness.cli.report import command
from harness.client.errors import UsageError
from harness.measure.repeat_figures import Points, RepeatFigures
from harness.measure.result import Case, Quantile, Reason, RunResult, SloCheck, Verdict
from reports import page
from reports.export_figures import names, number, rounded
from reports.formats import bencher, github_benchmark, junit, openmetrics, parquet, pytest_benchmark
from reports.formats import csv as rows
from tests import report_samples as samples
from tests.processes import ROOT

GOLDEN = ROOT / "tests" / "data" / "exports"
TEXT_FORMATS = ("junit", "csv", "pytest-benchmark", "github-benchmark", "bencher", "openmetrics")
ALL_FORMATS = (*TEXT_FORMATS, "json", "parquet", "html", "markdown")
ALLOWED = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
        {"properties", "testcase", "system-out"},
    ),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "testcase": ({"name", "classname", "time"}, {"skipped", "error", "failure", "system-out"}),
    **dict.fromkeys(("skipped", "error", "failure"), ({"type", "message"}, set())),
    "system-out": (set(), set()),
}
"""Attributes and children of the elements that we write, as the schema of Jenkins (junit-10.xsd) allows them."""
REQUIRED = {
    "testsuite": {"name", "tests", "failures", "errors"},
    "testcase": {"name"},
    "property": {"name", "value"},
}
TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?")


def repeated(factor: float = 1.0) -> RunResult:
    """A small result with three repeats, an SLO that fails, and intervals; times multiplied by a factor."""

    def repeat(at: int) -> RepeatFigures:
        times = Points(
            p50=round(0.1 * factor + at / 1e3, 9),
            p90=0.2,
            p95=0.25,
            p99=round(0.3 * factor + at / 1e3, 9),
            mean=0.12,
            max=0.5,
        )
        return RepeatFigures(at, 100, 99, 10.0 * factor, 9.9 / factor, 9.0 / factor, times, times)

    result = samples.single()
    spread = samples.spread([0.1 * factor] * 400)
    case = msgspec.structs.replace(
        result.cases[0],
        repeats=3,
        by_repeat=[repeat(at) for at in (1, 2, 3)],
        latency_s=msgspec.structs.replace(spread, log_edges=[], log_counts=[]),
        service_time_s=msgspec.structs.replace(spread, log_edges=[], log_counts=[]),
        slo=[SloCheck("p99<50ms", 0.1, 0.05, False), SloCheck("errors<1%", 0.0, 0.01, True)],
    )
    return msgspec.structs.replace(result, cases=[case])


@pytest.mark.parametrize("name", TEXT_FORMATS)
def test_a_format_is_what_its_golden_file_says(name: str) -> None:
    """`python -m tests.unit.test_export_formats` writes them again after a change that is meant."""
    [path] = [path for path in GOLDEN.iterdir() if path.name.startswith(f"{name}.")]
    assert page.render(repeated(), name).decode() == path.read_text(encoding="utf-8")


def write_golden_files() -> None:
    """For a person who then reads the difference."""
    for name in TEXT_FORMATS:
        suffix = {"junit": "xml", "csv": "csv", "openmetrics": "txt"}.get(name, "json")
        (GOLDEN / f"{name}.{suffix}").write_bytes(page.render(repeated(), name))


def junit_tree(result: RunResult) -> ET.Element:
    """The parsed file of a run."""
    return valid_junit(junit.render(result).encode())


def valid_junit(file: bytes) -> ET.Element:
    """The parsed file; every element and attribute of it is one that the schema has."""
    root = ET.fromstring(file)  # noqa: S314 - our own text
    for node in root.iter():
        attributes, children = ALLOWED[node.tag]
        assert REQUIRED.get(node.tag, set()) <= set(node.attrib) <= attributes, node.tag
        assert {child.tag for child in node} <= children, node.tag
        assert TIME.fullmatch(node.get("time", "0"))
    return root


@pytest.mark.parametrize("kind", sorted(samples.ALL))
def test_junit_is_valid_and_its_counts_are_those_of_its_cases(kind: str) -> None:
    """By our restatement of the schema, and by junitparser."""
    result = samples.ALL[kind]()
    root = junit_tree(result)
    parsed = junitparser.JUnitXml.fromstring(junit.render(result).encode())
    suites = list(parsed)
    assert len(suites) >= len(result.cases)
    for suite, node in zip(suites, root.iter("testsuite"), strict=True):
        kinds = [type(found).__name__ for case in suite for found in case.result]
        assert (suite.failures, suite.errors, suite.skipped) == tuple(
            kinds.count(kind) for kind in ("Failure", "Error", "Skipped")
        )
        assert suite.tests == len(list(suite)) == len(node.findall("testcase"))


def statuses(result: RunResult) -> list[tuple[str, str]]:
    """(name, status) of every test case."""
    bad = ("error", "failure", "skipped")
    return [
        (case.get("name", ""), next((child.tag for child in case if child.tag in bad), "passed"))
        for case in junit_tree(result).iter("testcase")
    ]


def judged(verdict: Verdict) -> RunResult:
    """One condition fails, one holds."""
    return msgspec.structs.replace(repeated(), verdict=verdict)


def test_the_status_of_a_test_case_follows_the_order_of_the_exit_codes() -> None:
    """Invalid is an error, a failed condition a failure, an inconclusive one skipped."""
    case = repeated().cases[0].name
    three = ("measurement is valid", "p99<50ms", "errors<1%")
    for verdict, expected in (
        (Verdict("valid"), ("passed", "failure", "passed")),
        (Verdict("invalid", [Reason("lag", "Late.", case)]), ("error", "error", "error")),
        (Verdict("inconclusive", [Reason("partial", "Cut.", case)]), ("skipped", "failure", "skipped")),
        (Verdict("valid", [Reason("layer_fault", "No cache.", case)]), ("passed", "failure", "passed")),
    ):
        assert statuses(judged(verdict)) == list(zip(three, expected, strict=True))
    of_the_run = statuses(judged(Verdict("invalid", [Reason("no_data", "Nothing.")])))
    assert of_the_run[0] == ("measurement is valid", "error")
    assert {status for _, status in of_the_run} == {"error"}


def test_no_data_is_an_error_in_junit() -> None:
    """Also without a single case."""
    for result in (samples.empty(), samples.zero()):
        assert "error" in {status for _, status in statuses(result)}


def test_the_messages_of_junit_have_value_bound_and_client_health() -> None:
    """A failed condition is readable without the report."""
    root = junit_tree(repeated())
    assert "above the bound of 50 ms" in next(root.iter("failure")).get("message", "")
    properties = {node.get("name"): node.get("value") for node in root.iter("property")}
    assert {"client_cpu_share_of_a_core", "client_ceiling_share", "client_loop_lag_p99", "seed"} <= set(properties)


@pytest.mark.parametrize("name", ALL_FORMATS)
@pytest.mark.parametrize("kind", ["hostile", "zero", "empty"])
def test_odd_results_are_rendered_in_every_format(kind: str, name: str) -> None:
    """Without control characters, and without markup from outside in XML."""
    if name == "parquet":
        pytest.importorskip("pyarrow", reason="needs the parquet extra")
    content = page.render(samples.ALL[kind](), name, charts=False)
    if name in TEXT_FORMATS:
        text = content.decode()
        assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e\ufffe]", text)
    if name.endswith("benchmark") or name in {"json", "bencher"}:
        json.loads(content)
    if name == "junit":
        assert samples.HOSTILE.encode() not in content


def test_csv_has_a_row_for_each_repeat_and_no_formula() -> None:
    """A text that a spreadsheet would compute is quoted."""
    result = repeated()
    found = list(csv.DictReader(io.StringIO(rows.render(result))))
    assert [(row["repeat"], row["latency_p50_s"]) for row in found] == [("1", "0.101"), ("2", "0.102"), ("3", "0.103")]
    case = msgspec.structs.replace(result.cases[0], name='=HYPERLINK("x")', by_repeat=[])
    [row] = csv.DictReader(io.StringIO(rows.render(msgspec.structs.replace(result, cases=[case]))))
    assert row["case"] == '\'=HYPERLINK("x")'
    assert row["repeat"] == ""
    assert float(row["latency_p99_s"]) == pytest.approx(0.1)


def test_parquet_holds_the_same_rows_in_types() -> None:
    """Read back by pyarrow."""
    pyarrow = pytest.importorskip("pyarrow", reason="needs the parquet extra")
    table = pytest.importorskip("pyarrow.parquet").read_table(pyarrow.BufferReader(parquet.render(repeated())))
    assert table["repeat"].to_pylist() == [1, 2, 3]
    assert table["latency_p50_s"].to_pylist() == pytest.approx([0.101, 0.102, 0.103])
    assert table["simulated"].to_pylist() == [False] * 3


def test_parquet_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, as a mistake of usage."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r'needs the package pyarrow: pip install "paceline\[parquet\]"'):
        parquet.render(repeated())


@pytest.mark.parametrize("size", range(1, 12))
def test_statistics_are_those_of_pytest_benchmark(size: int) -> None:
    """For even and odd numbers of rounds, with an outlier."""
    data = [0.1 + (at * 7 % 5) / 50 for at in range(size - 1)] + [9.0]
    theirs = Stats()
    theirs.data = list(data)
    for name, value in theirs.as_dict().items():
        ours = pytest_benchmark.stats(data)[name]
        assert ours == (value if isinstance(value, str) else pytest.approx(value)), name


def test_pytest_benchmark_compares_two_exported_files(tmp_path: Path) -> None:
    """Throughput is in its column of operations per second."""
    for name, factor in (("before", 1.0), ("after", 1.5)):
        (tmp_path / f"{name}.json").write_text(pytest_benchmark.render(repeated(factor)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", "before.json", "after.json", "--csv", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "latency p99" in done.stdout
    assert "time per success" in done.stdout
    table = list(csv.DictReader((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["rounds"] for row in table} == {"3"}
    assert sorted(round(float(row["ops"]), 1) for row in table)[-2:] == [9.9, 10.0] or "9.9" in done.stdout


def test_github_benchmark_entries_are_smaller_is_better() -> None:
    """Times and failures; range and extra are texts."""
    entries = json.loads(github_benchmark.render(repeated()))
    assert {entry["unit"] for entry in entries} == {"ms", "%"}
    assert all(isinstance(entry.get("range", ""), str) and isinstance(entry["extra"], str) for entry in entries)
    assert all(isinstance(entry["value"], int | float) for entry in entries)


def test_bencher_bounds_enclose_the_value() -> None:
    """BMF: benchmark, measure, value with bounds."""
    [measures] = json.loads(bencher.render(repeated())).values()
    p99 = measures["latency-p99-ms"]
    assert p99["lower_value"] < p99["value"] < p99["upper_value"]
    assert set(measures) >= {"throughput", "failed-percent"}


LINE = re.compile(r'[a-z_]+(\{[a-z_]+="([^"\\]|\\.)*"(,[a-z_]+="([^"\\]|\\.)*")*\})? -?[0-9.]+')


@pytest.mark.no_cover
@pytest.mark.parametrize("kind", sorted(samples.ALL))
def test_openmetrics_is_well_formed(kind: str) -> None:
    """Each family has its type before its samples, no series occurs twice, and the end is marked."""
    text = openmetrics.render(samples.ALL[kind]())
    *lines, end = text.splitlines()
    assert end == "# EOF"
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    series = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    assert all(LINE.fullmatch(line) for line in lines if not line.startswith("#"))
    assert len(set(series)) == len(series)
    assert {one.partition("{")[0] for one in series} == set(types)
    assert len(set(types)) == len(types)


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.123456, 0.11, 0.14, "0.12"),
        (0.123456, 0.1234, 0.1236, "0.1235"),
        (0.123456, None, None, "0.12"),
        (65.87, None, None, "66"),
        (1234.5, 1100.0, 1400.0, "1200"),
        (0.004, 0.0, 10.0, "0.004"),
        (0.0, None, None, "0"),
        (0.00000123, None, None, "0.0000012"),
    ],
)
def test_values_are_rounded_to_their_noise(value: float, low: float | None, high: float | None, text: str) -> None:
    """Digits that the interval does not support would differ in every run."""
    assert number(rounded(value, low, high)) == text


def test_names_are_unique_whatever_they_are() -> None:
    """They are keys in the exported files."""
    case = repeated().cases[0]
    cases: list[Case] = [msgspec.structs.replace(case, name=name) for name in ("a", "a", "a #2", "", "\x00", "a")]
    assert names(cases) == ["a", "a #2", "a #2 #2", "unnamed", "unnamed #2", "a #3"]


@pytest.fixture
def run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose records give the small result."""
    monkeypatch.setattr("harness.measure.reduce.summary.summarize_run", lambda directory: repeated())
    (tmp_path / "plan.json").write_text("{}")
    return tmp_path


def test_the_command_writes_each_format_into_the_run_directory(run_directory: Path) -> None:
    """And draws nothing for formats without charts."""
    arguments = [word for name in (*TEXT_FORMATS, "json") for word in ("--format", name)]
    done = CliRunner().invoke(command, [str(run_directory), *arguments], standalone_mode=False)
    assert done.return_value == 1, done.output
    assert {path.name for path in run_directory.glob("report.*")} == {
        "report.junit.xml", "report.csv", "report.pytest-benchmark.json", "report.github-benchmark.json",
        "report.bencher.json", "report.openmetrics.txt", "report.json",
    }  # fmt: skip
    assert not (run_directory / "charts").exists()


def test_one_format_goes_to_a_file_or_to_stdout(run_directory: Path) -> None:
    """On stdout is nothing else, and the run directory stays as it is."""
    runner = CliRunner()
    place = run_directory.parent / "elsewhere.xml"
    before = {path.name: path.stat().st_mtime_ns for path in run_directory.iterdir()}
    given = [str(run_directory), "--format", "junit", "--output"]
    assert runner.invoke(command, [*given, str(place)], standalone_mode=False).return_value == 1
    done = runner.invoke(command, [*given, "-"], standalone_mode=False)
    assert done.stdout == place.read_text(encoding="utf-8")
    assert "verdict" in done.stderr
    assert {path.name: path.stat().st_mtime_ns for path in run_directory.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--output", "x"], "takes one --format, not 0"),
        (["--format", "csv", "--format", "junit", "--output", "x"], "takes one --format, not 2"),
        (["--format", "csv", "--output", "-", "--json"], "both write to standard output"),
        (["--format", "csv", "--output", "no/such/folder/x"], "--output no/such/folder/x: No such file"),
        (["--format", "junitt"], "did you mean junit"),
    ],
)
def test_mistakes_in_the_options_of_the_report(run_directory: Path, arguments: list[str], said: str) -> None:
    """One line each."""
    done = CliRunner().invoke(command, [str(run_directory), *arguments], standalone_mode=False)
    assert isinstance(done.exception, UsageError)
    assert said in str(done.exception)


def test_an_interval_that_is_missing_on_one_side_is_none() -> None:
    """It is left out, not zero."""
    case = msgspec.structs.replace(repeated().cases[0], latency_s=samples.spread([]))
    spread = msgspec.structs.replace(case.latency_s, n=9, p50=Quantile(0.1, None, None))
    result = msgspec.structs.replace(repeated(), cases=[msgspec.structs.replace(case, latency_s=spread)])
    [measures] = json.loads(bencher.render(result)).values()
    assert measures["latency-p50-ms"] == {"value": 100.0}


if __name__ == "__main__":
    write_golden_files()

"""`paceline simulate`: the same result file and report as a real run, marked, and the same again for the same seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import main
from harness.client.errors import UsageError
from harness.experiment.levels import levels
from harness.measure.result import RunResult, decode
from tests.simulation.kernel import servers


def _command(tmp_path: Path, name: str, *arguments: str) -> tuple[int, RunResult | None]:
    """Its exit code and its result."""
    out = tmp_path / name
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *arguments, "--out", str(out)])
    path = out / "result.json"
    return int(ended.value.code or 0), decode(path.read_bytes()) if path.exists() else None


def _server(tmp_path: Path, text: str = servers.WORKERS_8) -> str:
    return str(servers.written(tmp_path, text))


@pytest.mark.no_cover
def test_compare_gives_the_result_of_a_run_marked_simulated(tmp_path: Path) -> None:
    """Valid, with the server's own count, and without CPU, memory or machine, which virtual time has not."""
    arguments = ("compare", "-s", "queue-stream:concurrency=8", "-s", "sync", "--server", _server(tmp_path))
    arguments += ("--items", "400", "--seed", "7", "--repeats", "2")
    code, result = _command(tmp_path, "a", *arguments)
    assert code == 0
    assert result is not None
    assert result.simulated
    assert result.verdict.status == "valid"
    assert [case.name for case in result.cases] == ["queue-stream:concurrency=8", "sync"]
    for case in result.cases:
        assert case.counts.ok == case.counts.server_seen == 800
        assert case.target.url == "simulated:"
        assert case.resources.client_cpu_s is None
        assert case.resources.ceiling_share is None
    assert "cpu_model" not in result.environment
    assert len(result.environment["records_sha256"]) == 4
    page = (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    assert "simulated" in page
    _, again = _command(tmp_path, "b", *arguments, "--no-report")
    assert again is not None
    assert again.cases == result.cases
    assert again.environment["records_sha256"] == result.environment["records_sha256"]


@pytest.mark.no_cover
def test_arrivals_are_asked_for_by_a_rate(tmp_path: Path) -> None:
    """--rate and --duration mean Poisson arrivals; --load may say other ones."""
    code, result = _command(
        tmp_path, "a", "compare", "-s", "unbounded", "--server", _server(tmp_path), "--rate", "40", "--duration", "20"
    )
    assert code == 0
    assert result is not None
    case = result.cases[0]
    assert case.load.kind == "poisson"
    assert case.rates_per_s.offered == pytest.approx(40, rel=0.1)


def test_json_goes_to_stdout_and_an_slo_that_fails_is_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As with compare."""
    code, _ = _command(
        tmp_path, "a", "compare", "-s", "sync", "--server", _server(tmp_path), "--items", "400", "--json",
        "--slo", "p99<1ms", "--no-report",
    )  # fmt: skip
    assert code == 1
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert shown["simulated"] is True


def test_refusals_make_a_comparison_invalid(tmp_path: Path) -> None:
    """Exit code 4, as in a real run."""
    code, result = _command(
        tmp_path, "a", "compare", "-s", "unbounded", "--server", _server(tmp_path, servers.NO_QUEUE), "--items", "100",
        "--no-report",
    )  # fmt: skip
    assert code == 4
    assert result is not None
    assert result.verdict.reasons[0].code == "errors"


@pytest.mark.slow
def test_sweep_finds_the_workers_of_the_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Eight workers: eight in flight is best; beyond, failures are a finding and no fault of the measurement."""
    text = servers.WORKERS_8.replace("queue_max = 100000", "queue_max = 16")
    code, result = _command(
        tmp_path, "a", "sweep", "--server", _server(tmp_path, text), "--concurrency", "1:64:x2", "--items", "2000"
    )
    assert code == 0
    assert result is not None
    assert result.sweep is not None
    assert result.sweep.knee == 8
    assert result.cases[-1].counts.rejected > 0
    assert "Set concurrency to 8" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["compare", "--server", "nul"], "--server nul: no such profile; known: "),
        (["compare", "--network-delay", "1"], "only the network in memory"),
        (["compare", "--items", "0"], "--items 0"),
        (["sweep", "--concurrency", "9:1:x2"], "--concurrency '9:1:x2': expected FIRST:LAST"),
    ],
)
def test_mistakes_are_reported_in_a_line(
    tmp_path: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and nothing is left behind."""
    code, result = _command(tmp_path, "a", *arguments)
    assert code == 2
    assert result is None
    assert says in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_a_project_file_sets_the_options_of_the_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[simulate] goes to compare and to sweep, each as far as it has the option."""
    (tmp_path / "paceline.toml").write_text(
        f'[simulate]\nitems = 300\nserver = "{_server(tmp_path)}"\nconcurrency = "1,2,4"\nreport = false\n'
    )
    monkeypatch.chdir(tmp_path)
    code, result = _command(tmp_path, "a", "compare", "-s", "sync")
    assert code == 0
    assert result is not None
    assert result.cases[0].counts.ok == 300


def test_levels_of_a_sweep() -> None:
    """By a factor, by a step, or as a list; both ends are in."""
    assert levels("1:256:x2") == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert levels("1:10:x1.5") == [1, 2, 3, 5, 8, 10]
    assert levels("8:30:+8") == [8, 16, 24, 30]
    assert levels("50,10,20,10") == [10, 20, 50]
    assert levels("10:50:20") == [10, 30, 50]
    assert levels("0.5:2:x2", "--rate", whole=False) == [0.5, 1, 2]
    assert levels("50:300:x1.5", "--rate", whole=False) == [50, 75, 112, 169, 253, 300]
    assert levels("1000:1002:1", "--rate", whole=False) == [1000, 1001, 1002]
    for wrong in ("", "0:4:x2", "1:4", "1:4:x1", "4:1:+1", "a,b", "1:100000:+1"):
        with pytest.raises(UsageError, match="--concurrency"):
            levels(wrong)


STUCK = '''
import asyncio
from dataclasses import dataclass


@dataclass(frozen=True)
class Stuck:
    """Waits for what never comes."""

    blocking = False

    async def stream(self, items, send, /, layers=None):
        async for item in items:
            await asyncio.get_running_loop().create_future()
        yield
'''


def test_a_strategy_that_deadlocks_makes_the_run_invalid_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 4 and the deadlock in the verdict; the other case stands."""
    (tmp_path / "stuck_strategy.py").write_text(STUCK)
    monkeypatch.syspath_prepend(tmp_path)
    code, result = _command(
        tmp_path, "a", "compare", "-s", "stuck_strategy:Stuck", "-s", "sync", "--server", _server(tmp_path),
        "--items", "300", "--no-report",
    )  # fmt: skip
    assert code == 4
    assert result is not None
    assert any("DeadlockError" in reason.text and "application 0" in reason.text for reason in result.verdict.reasons)
    assert result.cases[1].counts.ok == 300


OWN = '''
class Count:
    """Counts requests."""

    place = 5

    def __init__(self, inner):
        self._inner, self.seen = inner, 0

    async def __call__(self, request, /):
        self.seen += 1
        return await self._inner(request)

    def figures(self):
        return {"seen": self.seen}


class Broken(Count):
    """Cannot say what it counted."""

    place = 6

    def figures(self):
        return {"seen": 1 / 0}
'''


@pytest.mark.no_cover
def test_layers_count_and_one_whose_figures_fail_leaves_the_run_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user's layer that raises is named, exit code 0; what the others counted in two repeats adds up."""
    (tmp_path / "own_layers.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    code, result = _command(
        tmp_path, "a", "compare", "-s", "sync+own_layers:Count+own_layers:Broken+deadline:timeout_s=1000",
        "--server", _server(tmp_path), "--items", "300", "--repeats", "2",
    )  # fmt: skip
    assert result is not None
    assert (code, result.verdict.status) == (0, "valid")
    count, broken, deadline = result.cases[0].layer_figures
    assert (count.name, count.figures, count.faults) == ("own_layers:Count", {"seen": 600}, [])
    assert (broken.figures, broken.faults) == ({}, ["its figures cannot be read: ZeroDivisionError: division by zero"])
    assert (deadline.name, deadline.figures) == ("deadline", {"expired": 0})
    [reason] = result.verdict.reasons
    assert reason.code == "layer_fault"
    assert reason.text == f"The layer own_layers:Broken did not do all of its work: {broken.faults[0]}."
    said = " ".join(capsys.readouterr().out.split())
    assert "layer own_layers:Count: seen 600" in said
    assert "division by zero" in (tmp_path / "a" / "report.md").read_text(encoding="utf-8")

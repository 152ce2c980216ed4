"""The options of jobs that `paceline serve` and `paceline worker` hand on."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from harness.cli import serve, worker


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the servers and the worker are started with, instead of starting them."""
    found: list[list[str]] = []

    def start(line: list[str]) -> int:
        found.append(list(line))
        return 0

    for module in ("mock_server.main", "model_server.main", "model_server.jobs.worker"):
        monkeypatch.setattr(f"{module}.main", start)
    monkeypatch.setattr("model_server.jobs.command.check_broker", lambda url: None)
    return found


def value(line: list[str], option: str) -> float:
    return float(line[line.index(option) + 1])


@pytest.mark.parametrize("server", ["mock", "model"])
def test_serve_hands_them_on(server: str, lines: list[list[str]]) -> None:
    result = run(serve.command, server, "--job-keep", "60", "--job-retry-delay", "0.5")
    assert result.exit_code == 0, result.output
    assert (value(lines[0], "--job-keep"), value(lines[0], "--job-retry-delay")) == (60, 0.5)


def test_a_worker_hands_them_on(lines: list[list[str]]) -> None:
    options = ["--broker", "redis://127.0.0.1:1/0", "--server", "null", "--job-keep", "60", "--job-retry-delay", "0.5"]
    result = run(worker.command, *options)
    assert result.exit_code == 0, result.output
    assert (value(lines[0], "--keep"), value(lines[0], "--retry-delay")) == (60, 0.5)


@pytest.mark.parametrize("option", ["--job-keep", "--job-retry-delay"])
def test_less_than_nothing_is_refused(option: str, lines: list[list[str]]) -> None:
    result = run(serve.command, "mock", option, "-1")
    assert result.exit_code == 2
    assert option in result.output
    assert not lines


def run(command: object, *arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))  # type: ignore[arg-type] # a click command

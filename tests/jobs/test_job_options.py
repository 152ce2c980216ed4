"""The options of jobs that `paceline serve` and `paceline worker` hand on."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.base.options import filled
from harness.cli import serve, worker
from model_server.jobs.command import JobOptions
from model_server.jobs.job import JobSettings


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the servers and the worker are started with, instead of starting them."""
    found: list[Any] = []

    def start(values: Any, *rest: Any) -> int:
        found.append(values)
        return 0

    for function in ("mock_server.main.run", "model_server.main.run", "model_server.jobs.worker.work"):
        monkeypatch.setattr(function, start)
    monkeypatch.setattr("model_server.jobs.command.check_broker", lambda url: None)
    return found


@pytest.mark.parametrize("server", ["mock", "model"])
def test_serve_hands_them_on(server: str, started: list[Any]) -> None:
    result = run(serve.command, server, "--job-keep", "60", "--job-retry-delay", "0.5")
    assert result.exit_code == 0, result.output
    assert filled(JobOptions, started[0]).settings() == JobSettings(keep_s=60.0, retry_delay_s=0.5)


def test_a_worker_hands_them_on(started: list[Any]) -> None:
    options = ["--broker", "redis://127.0.0.1:1/0", "--server", "null", "--job-keep", "60", "--job-retry-delay", "0.5"]
    result = run(worker.command, *options)
    assert result.exit_code == 0, result.output
    assert (started[0].job_keep_s, started[0].job_retry_delay_s) == (60, 0.5)


@pytest.mark.parametrize("option", ["--job-keep", "--job-retry-delay"])
def test_less_than_nothing_is_refused(option: str, started: list[Any]) -> None:
    result = run(serve.command, "mock", option, "-1")
    assert result.exit_code == 2
    assert option in result.output
    assert not started


def run(command: object, *arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))  # type: ignore[arg-type] # a click command

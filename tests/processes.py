"""Real processes for the tests: a mock server, the command, Locust."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness import plugins
from harness.experiment import target as targets
from harness.experiment.spec import SAMPLE_PAIRS, TRIAL_VARIABLE, Trial
from harness.measure.record.plan import TaskShare
from harness.measure.result import Named

ROOT = Path(__file__).parents[1]
FAULTY = """# Goes wrong in many ways, always with an answer or an end.
[service]
base_s = 0.004
[[faults]]
kind = "status"
status = 500
probability = 0.05
[[faults]]
kind = "status"
status = 429
probability = 0.05
[[faults]]
kind = "reset"
probability = 0.05
[[faults]]
kind = "malformed-json"
probability = 0.05
"""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def mock(profile: str = "null", tmp_path: Path | None = None, **options: Any) -> Iterator[targets.RunningTarget]:
    """An embedded mock; `profile` may be the text of a profile, written to `tmp_path`."""
    if "\n" in profile:
        assert tmp_path is not None
        (tmp_path / "own.toml").write_text(profile)
        profile = str(tmp_path / "own.toml")
    with targets.embedded(profile, **options) as target:
        yield target


def named(kind: str, text: str) -> Named:
    """A plug-in as a spec has it."""
    plugin = plugins.make(kind, text)
    return Named(plugins.name_of(type(plugin)), plugins.settings_of(plugin))


def spec(url: str, records: Path, strategy: str = "queue-stream:concurrency=8", **more: Any) -> Trial:
    """A similarity case over the shipped pairs."""
    records.mkdir(parents=True, exist_ok=True)
    more.setdefault("items", 200)
    return Trial(
        name=more.pop("name", "case"),
        target=url,
        strategy=named("strategy", strategy),
        tasks=[TaskShare(named("task", "similarity"))],
        records=str(records),
        input=more.pop("input", str(SAMPLE_PAIRS)),
        **more,
    )


def start(arguments: list[str], **options: Any) -> subprocess.Popen[str]:
    """A Python module as a process of its own, its output captured."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        **options,
    )


@contextmanager
def uncovered_children() -> Iterator[None]:
    """Processes that are started meanwhile are not measured."""
    taken = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("COV")}
    try:
        yield
    finally:
        os.environ.update(taken)


def paceline(*arguments: str, cwd: Path, timeout_s: float = 180.0) -> subprocess.CompletedProcess[str]:
    """The command, run to its end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "harness", *arguments]
    return subprocess.run(
        line, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def case_file(folder: Path, of: Trial) -> dict[str, str]:
    """The environment in which Locust plays this case."""
    path = folder / "case.json"
    path.write_bytes(of.as_json())
    return {TRIAL_VARIABLE: str(path)}


BUSY = {"lag", "client_ceiling", "client_starved", "client_time", "lag_bound", "bursts", "drift", "unsettled"}
BUSY |= {"instants"}
"""Reasons of a verdict that a loaded machine brings about; everything else is a fault of the program."""


def went_well(done: subprocess.CompletedProcess[str], directory: Path) -> None:
    """The command ended with a valid measurement, or with one that only a loaded machine made invalid."""
    if done.returncode == 4:
        reasons = {reason["code"] for reason in result_of(directory)["verdict"]["reasons"]}
        assert reasons <= BUSY, done.stdout + done.stderr
    else:
        assert done.returncode == 0, done.stdout + done.stderr


def result_of(directory: Path) -> dict[str, Any]:
    """A run's result.json."""
    found: dict[str, Any] = json.loads((directory / "result.json").read_text())
    return found

"""The working directory: its files are never executed in place of ours, and what is named out of it is found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.experiment import children
from harness.measure.result import decode
from model_server.jobs.command import WorkerRecipe
from model_server.jobs.job import JobSettings
from tests.processes import ROOT, result_of, went_well

PLANTED = ("queue", "random", "numpy", "harness", "scenarios", "mock_server", "typing", "celery", "__future__")
OWN = """
from dataclasses import dataclass
from typing import ClassVar
from harness.client.task_calls import request_for, result_of
from harness.client.types import no_layers
from harness.load.pacers.constant import Constant
from scenarios.users import Application
import beside


@dataclass(frozen=True)
class Pairs:
    blocking: ClassVar[bool] = False
    shift: int = 0

    async def stream(self, items, send, /, layers=no_layers):
        call = layers(send)
        async for item in items:
            yield result_of(item, await call(request_for(item)))


class Inside:
    place: ClassVar[int] = 75

    def __init__(self, inner, times: int = 1):
        self._inner = inner

    async def __call__(self, request, /):
        return await self._inner(request)


class Other(Application):
    load = Constant(rate_per_s=1.0)


class Morning(Application):
    load = Constant(rate_per_s=beside.RATE)
    duration_s = 1.0
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's working directory: a module of his own with another beside it, and files named like other modules."""
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "beside.py").write_text("RATE = 40.0\n")
    (tmp_path / "locust.conf").write_text("run-time = 1s\nspawn-rate = 0.1\n")
    for name in PLANTED:
        (tmp_path / f"{name}.py").write_text(f"open('executed', 'a').write('{name} ')\nraise SystemExit('{name}')\n")
    return tmp_path


def command(folder: Path, *arguments: str, safe: bool = True) -> subprocess.CompletedProcess[str]:
    """As the installed script: the working directory is not on the path. Without `safe`, as `python -m`."""
    flags = ["-P"] if safe else []
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LOCUST_RUN_TIME": "1s"}
    line = [sys.executable, *flags, "-m", "harness", *arguments]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
def test_own_classes_are_found_and_no_file_stands_in_for_a_module(folder: Path) -> None:
    """Calibration, mock and Locust included; a `locust.conf` or LOCUST_RUN_TIME does not cut the load short."""
    done = command(
        folder,
        *("run", "mine:Morning", "-s", "mine:Pairs", "-s", "mine:Pairs:shift=2+mine:Inside+retry", "--duration", "2"),
        *("--server", "null", "--out", "run", "--no-report"),
    )
    went_well(done, folder / "run")
    assert not (folder / "executed").exists()
    cases = result_of(folder / "run")["cases"]
    assert [case["name"] for case in cases] == ["mine:Pairs", "mine:Pairs:shift=2+mine:Inside+retry"]
    assert [case["counts"]["ok"] for case in cases] == [80, 80]
    assert decode((folder / "run" / "result.json").read_bytes()).cases[0].strategy.name == "mine:Pairs"


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", "-s", "mine:Pairs", "--processes", "2", "--users", "2", "--items", "50", "--no-calibrate"),
        ("simulate", "compare", "-s", "mine:Pairs", "--items", "50"),
    ],
)
def test_no_file_stands_in_for_a_module_in_other_modes(folder: Path, arguments: tuple[str, ...]) -> None:
    """Forked Locust workers, and virtual time."""
    done = command(folder, *arguments, "--server", "null", "--out", "run", "--no-report")
    went_well(done, folder / "run")
    assert not (folder / "executed").exists()
    assert result_of(folder / "run")["cases"][0]["counts"]["ok"] == 50


@pytest.mark.parametrize("module", ["harness", "mock_server", "model_server"])
def test_python_m_leaves_the_working_directory_too(folder: Path, module: str) -> None:
    """Where our own package is not the one that lies there."""
    for name in ("harness", "scenarios", "mock_server"):
        (folder / f"{name}.py").unlink()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert not (folder / "executed").exists()


def test_workers_of_jobs_start_in_safe_path_mode(folder: Path) -> None:
    """Started from this folder, it imports the right modules."""
    recipe = WorkerRecipe("mock_server.app:create", {"profile": "null"})
    line = recipe.command("redis://127.0.0.1:1/0", JobSettings(), "w")
    assert line[1:4] == ["-P", "-m", "model_server.jobs.worker"]
    done = subprocess.run(
        [*line[:4], "--help"], cwd=folder, env=children.environment(), capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (folder / "executed").exists()


def test_children_get_no_empty_entry_of_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would mean the working directory."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/somewhere", ""]))
    found = children.environment()
    assert found["PYTHONPATH"].split(os.pathsep)[-1] == "/somewhere"
    assert found["PYTHONSAFEPATH"] == "1"
    assert children.python("locust", "-f")[1:] == ["-P", "-m", "locust", "-f"]


MISTAKES = {
    "locustfile": ("from locust import HttpUser\nclass X(HttpUser): pass\n", "not a subclass of scenarios.users"),
    "broken": ("def f(:\n", "broken.py, line 1: invalid syntax"),
    "needy": ("import not_there\n", "No module named 'not_there' (searched: installed packages, then "),
    "empty": ("", "has no attribute 'X'"),
    "raising": ("{}['key']\n", "KeyError: 'key'"),
    "leaving": ("raise SystemExit(1)\n", "SystemExit: 1"),
    "function": ("def X(): pass\n", "is not a class"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_module_that_cannot_be_used_is_one_line(tmp_path: Path, name: str) -> None:
    """What is wrong, where; exit code 2; no traceback."""
    text, says = MISTAKES[name]
    (tmp_path / f"{name}.py").write_text(text)
    done = command(tmp_path, "run", f"{name}:X")
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_class_of_another_kind_is_refused_by_name(folder: Path) -> None:
    """Before anything is started."""
    done = command(folder, "compare", "-s", "mine:Inside", "--items", "1")
    assert done.returncode == 2
    assert "strategy 'mine:Inside' is not a strategy: the class has no stream and no blocking" in done.stderr
    done = command(folder, "compare", "--layer", "mine:Pairs", "--items", "1")
    assert "layer 'mine:Pairs' is not a layer: the class has no __call__" in done.stderr
    assert json.loads(command(folder, "list", "layers", "--json").stdout)["layers"]

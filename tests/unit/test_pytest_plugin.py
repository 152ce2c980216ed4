"""The pytest plugin, in a pytest of its own: its example, its failures, pytest-benchmark, and other tests."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from harness import pytest_plugin
from tests.processes import ROOT

pytestmark = pytest.mark.slow
PLUGINS = ("-p", "harness.pytest_plugin")
WITH_BENCHMARK = (*PLUGINS, "-p", "benchmark")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Only the plugins named are loaded, so the outcome does not depend on what is installed."""
    # A worker of xdist tells its children, too, and pytest-benchmark stays off there.
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    environment = {**own, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    line = [sys.executable, "-X", "faulthandler", "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(line, cwd=folder, env=environment, text=True, **pipes) as process:
        try:
            out, err = process.communicate(timeout=200)
        except subprocess.TimeoutExpired:
            # It writes where it hangs.
            process.send_signal(signal.SIGABRT)
            out, err = process.communicate()
    return subprocess.CompletedProcess(line, process.returncode, out, err)


def example(folder: Path) -> None:
    """The complete file of docs/pytest.md."""
    page = (ROOT / "docs" / "pytest.md").read_text(encoding="utf-8")
    [text] = re.findall(r"^```python\n# test_service.py\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (folder / "test_service.py").write_text(text, encoding="utf-8")


def test_the_example_of_the_docs_passes_and_compares(tmp_path: Path) -> None:
    """With pytest-benchmark: saved once, compared with the next run, which is the same in virtual time."""
    example(tmp_path)
    saved = run(tmp_path, *WITH_BENCHMARK, "--benchmark-autosave", "--benchmark-only")
    assert saved.returncode == 0, saved.stdout + saved.stderr
    assert "3 passed" in saved.stdout
    [path] = tmp_path.glob(".benchmarks/*/*.json")
    first, *backlogs = json.loads(path.read_text())["benchmarks"]
    assert first["stats"]["rounds"] == 3
    assert 0 < first["stats"]["median"] < 2
    assert first["extra_info"]["p99"][0] >= first["extra_info"]["p50"][0]
    for one in backlogs:
        assert one["stats"]["ops"] == pytest.approx(one["extra_info"]["completed_per_s"], rel=0.02)
    compared = run(tmp_path, *WITH_BENCHMARK, "--benchmark-compare", "--benchmark-compare-fail=median:1%")
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert "(0001_" in compared.stdout


def test_the_example_passes_without_pytest_benchmark(tmp_path: Path) -> None:
    """And is skipped with it where benchmarks are skipped."""
    example(tmp_path)
    assert "3 passed" in run(tmp_path, *PLUGINS).stdout
    assert "3 skipped" in run(tmp_path, *WITH_BENCHMARK, "--benchmark-skip").stdout


FAILING = """
def test_slo(paceline_load):
    paceline_load("queue-stream:concurrency=20", rate=40, duration="10s", server="demo", simulated=True, slo="p50<1ms")


def test_invalid(paceline_load):
    paceline_load("sync", items=20, server="broken.toml", simulated=True)


def test_setting(paceline_load):
    paceline_load("sync", item=20)


def test_strategy(paceline_load):
    paceline_load("synk", items=20)
"""
BROKEN = """[service]
base_s = 0.01
[[faults]]
kind = "status"
status = 500
probability = 1.0
"""


def test_failures_say_what_and_where(tmp_path: Path) -> None:
    """Value, bound and margin; the reasons; the mistake in one line. No traceback through paceline."""
    (tmp_path / "test_failing.py").write_text(FAILING, encoding="utf-8")
    (tmp_path / "broken.toml").write_text(BROKEN, encoding="utf-8")
    done = run(tmp_path, *WITH_BENCHMARK)
    assert done.returncode == 1, done.stdout
    assert "4 failed" in done.stdout
    assert re.search(
        r"SLO failed: queue-stream:concurrency=20\n  p50<1ms FAILS: .* above the bound of 1 ms", done.stdout
    )
    assert re.search(r"the measurement is invalid: sync\n  No success among 20 items", done.stdout)
    assert "unexpected keyword argument 'item'" in done.stdout
    assert "did you mean sync" in done.stdout


LAZY = """
import sys


def test_nothing_is_imported():
    heavy = {"numpy", "msgspec", "locust", "matplotlib", "harness.experiment", "harness.measure", "pytest_benchmark"}
    assert not heavy & set(sys.modules)
"""


def test_other_tests_are_not_disturbed(tmp_path: Path) -> None:
    """The plugin imports nothing of paceline until the fixture is used."""
    (tmp_path / "test_lazy.py").write_text(LAZY, encoding="utf-8")
    done = run(tmp_path, *PLUGINS, "-W", "error")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_entry_point_is_the_plugin() -> None:
    """The name under which pytest finds it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"paceline": pytest_plugin.__name__}


def test_a_mock_and_a_target_exclude_each_other(tmp_path: Path) -> None:
    """Otherwise the mock would be dropped silently."""
    with pytest.raises(pytest.UsageError, match="server and target exclude each other"):
        pytest_plugin._play(tmp_path / "x", "sync", None, False, {"server": "demo", "target": "http://127.0.0.1:1"})

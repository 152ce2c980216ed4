"""The workflows of docs/ci.md and action.yml: valid scripts, existing commands, an action that works."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from harness.cli.main import COMMANDS
from tests.docs.test_docs import blocks
from tests.processes import ROOT

PAGE = ROOT / "docs" / "ci.md"
DOCUMENTS = [yaml.safe_load(block) for block in blocks(PAGE, "yaml")]
WORKFLOW = next(one for one in DOCUMENTS if isinstance(one, dict) and "jobs" in one)
GITLAB = next(one for one in DOCUMENTS if isinstance(one, dict) and "load" in one)
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = [
    *(step for job in WORKFLOW["jobs"].values() for step in job["steps"]), *ACTION["runs"]["steps"],
]  # fmt: skip
SCRIPTS = [step["run"] for step in STEPS if "run" in step]
SCRIPTS += [line for part in ("before_script", "script", "after_script") for line in GITLAB["load"][part]]


def calls(script: str) -> list[list[str]]:
    """The words of each call of paceline, also of those in quotes; calls with words from a variable are left out."""
    found = []
    for line in script.replace("\\\n", " ").splitlines():
        for start in re.finditer(r"(?:^|[\s('])paceline (?=[a-z])", line):
            text = re.split(r"\|\||>| &|\)$", line[start.end() :])[0]
            if line[start.start()] == "'":
                text = text.partition("'")[0]
            found.append(shlex.split(text))
    return found


CALLS = [words for script in SCRIPTS for words in calls(script)]


def test_the_documents_have_calls_of_every_kind() -> None:
    """So that the tests below check something."""
    assert {words[0] for words in CALLS} == {"serve", "run", "report", "gate"}


@pytest.mark.parametrize("words", CALLS, ids=lambda words: words[0])
def test_every_command_parses(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options exist and take these values."""
    monkeypatch.chdir(tmp_path)
    assert words[0] in COMMANDS
    command: click.Command = importlib.import_module(f"harness.cli.{words[0]}").command
    rest = [word.replace("{port}", "8000").replace("$DIRECTORY", "runs/ci") for word in words[1:]]
    if isinstance(command, click.Group):
        command, rest = command.commands[rest[0]], rest[1:]
    command.make_context(words[0], rest)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_is_valid_shell(script: str) -> None:
    """`bash -n` reads it without running it."""
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 0, done.stderr


def test_no_script_has_an_expression_in_it() -> None:
    """A text from a pull request would be run by the shell."""
    assert not [script for script in SCRIPTS if "${{" in script]


def test_every_used_input_and_step_exists() -> None:
    """Of the action."""
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"inputs\.([a-z]+)", text)) == set(ACTION["inputs"])
    steps = {step.get("id") for step in ACTION["runs"]["steps"]}
    assert set(re.findall(r"steps\.([a-z]+)\.", text)) <= steps
    assert ACTION["runs"]["using"] == "composite"


def step(name: str, folder: Path, **variables: str) -> int:
    """Run a step of the action as GitHub does; outputs and summary are files in the folder."""
    [script] = [one["run"] for one in ACTION["runs"]["steps"] if one["name"] == name]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    files = {"GITHUB_OUTPUT": str(folder / "output"), "GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder, env={**os.environ, "PATH": path, **files, **variables}, check=False, timeout=100,
    )  # fmt: skip
    return done.returncode


@pytest.mark.slow
@pytest.mark.parametrize(("slo", "code"), [("errors<1%", 0), ("p50<1ms, errors<1%", 1)])
def test_the_action_plays_reports_and_judges(tmp_path: Path, slo: str, code: int) -> None:
    """A quoted option with a space stays one; the summary begins with the verdict."""
    arguments = f'simulate compare -s sync --server demo --items 50 --no-report --slo "{slo}"'
    assert step("Play", tmp_path, ARGUMENTS=arguments, DIRECTORY="runs/ci") == 0
    assert (tmp_path / "output").read_text() == f"exit-code={code}\n"
    assert step("Report", tmp_path, DIRECTORY="runs/ci") == 0
    assert (tmp_path / "summary.md").read_text(encoding="utf-8").startswith("# ")
    assert (tmp_path / "runs" / "ci" / "report.junit.xml").is_file()
    assert step("Judge", tmp_path, CODE=str(code), INCONCLUSIVE="pass") == code


@pytest.mark.parametrize(("code", "mode", "expected"), [(5, "pass", 0), (5, "fail", 5), (4, "pass", 4), (2, "pass", 2)])
def test_only_an_inconclusive_result_is_neutral(tmp_path: Path, code: int, mode: str, expected: int) -> None:
    """And only if the workflow says so."""
    assert step("Judge", tmp_path, CODE=str(code), INCONCLUSIVE=mode) == expected

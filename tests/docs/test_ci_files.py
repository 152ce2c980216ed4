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
USES = [step for one in DOCUMENTS if isinstance(one, list) for step in one if "paceline" in step.get("uses", "")]
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
CALLS += [shlex.split(step["with"]["arguments"]) for step in USES]


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


def test_the_page_shows_the_action_with_inputs_that_it_has() -> None:
    """And with the two kinds of commands that a pipeline has."""
    assert {shlex.split(step["with"]["arguments"])[0] for step in USES} == {"run", "gate"}
    assert all(set(step["with"]) <= set(ACTION["inputs"]) for step in USES)


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


@pytest.mark.slow
def test_the_action_plays_a_gate_into_a_directory_that_holds_an_older_one(tmp_path: Path) -> None:
    """Two pairs decide nothing, so the code is 5, or 4 on a machine that starves the client."""
    mock = f"{sys.executable} -m mock_server --profile constant-120ms --speed 20 --port {{port}}"
    arguments = (
        f'gate --baseline-cmd "{mock}" --candidate-cmd "{mock}" --pairs 1 --pairs-max 1 --items 30 --no-calibrate'
    )
    old = tmp_path / "runs" / "ci"
    (old / "candidate" / "records").mkdir(parents=True)
    for file in ("gate.json", "candidate/plan.json", "candidate/records/old.jsonl"):
        (old / file).write_text("{}")
    assert step("Play", tmp_path, ARGUMENTS=arguments, DIRECTORY="runs/ci") == 0
    code = (tmp_path / "output").read_text().strip().removeprefix("exit-code=")
    assert code in {"4", "5"}
    assert not (old / "candidate" / "records" / "old.jsonl").exists()
    assert step("Report", tmp_path, DIRECTORY="runs/ci") == 0
    assert (tmp_path / "summary.md").read_text(encoding="utf-8").startswith(f"# {'✖' if code == '4' else '?'} Gate")
    assert (old / "report.junit.xml").is_file()
    assert step("Judge", tmp_path, CODE=code, INCONCLUSIVE="pass") == (0 if code == "5" else 4)


def playing_commands() -> dict[str, click.Command]:
    """Every command with --out, by its name."""
    found: dict[str, click.Command] = {}
    for name in COMMANDS:
        command = importlib.import_module(f"harness.cli.{name.replace('-', '_')}").command
        group = command.commands if isinstance(command, click.Group) else {"": command}
        found |= {f"{name} {sub}".strip(): part for sub, part in group.items() if "--out" in flags(part)}
    return found


def flags(command: click.Command) -> set[str]:
    return {flag for parameter in command.params for flag in parameter.opts}


def test_every_command_with_a_directory_can_replace_what_is_there() -> None:
    """The action passes both options to any of them."""
    assert {"compare", "run", "capacity", "gate", "diff", "simulate compare"} <= set(playing_commands())
    assert [name for name, command in playing_commands().items() if "--overwrite" not in flags(command)] == []


@pytest.mark.parametrize(("code", "mode", "expected"), [(5, "pass", 0), (5, "fail", 5), (4, "pass", 4), (2, "pass", 2)])
def test_only_an_inconclusive_result_is_neutral(tmp_path: Path, code: int, mode: str, expected: int) -> None:
    """And only if the workflow says so."""
    assert step("Judge", tmp_path, CODE=str(code), INCONCLUSIVE=mode) == expected

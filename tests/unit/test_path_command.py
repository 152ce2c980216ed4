"""`paceline path`: what comes with paceline is found by name, wherever pip put it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import plugins
from harness.cli.main import cli
from harness.client.tasks.http import shipped
from mock_server import profiles
from tests.processes import ROOT
from tests.unit.test_cli import run


def test_without_a_name_everything_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Each name with a line about it, and each can be asked for."""
    code, out, err = run(capsys, "path")
    assert (code, err) == (0, "")
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    assert all(len(line) == 2 for line in lines)
    assert len(lines) == len(plugins.names("scenario")) + len(profiles.names()) + len(shipped.names()) + 1
    for name, _ in lines:
        code, out, _ = run(capsys, "path", name)
        assert code == 0
        assert Path(out.rstrip("\n")) == ROOT / name
        assert Path(out.rstrip("\n")).is_file()


@pytest.mark.parametrize(
    ("name", "near"), [("scenarios/spik.py", "scenarios/spike.py"), ("spike", ""), ("../README.md", "")]
)
def test_an_unknown_name_is_one_line_with_those_that_exist(
    name: str, near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2; nothing on standard output, which a shell would take for the path."""
    code, out, err = run(capsys, "path", name)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"unknown file {name!r}: {'did you mean ' + near if near else ''}" in err
    assert "known are scenarios/backlog.py, scenarios/mixed.py" in err


def test_names_are_completed() -> None:
    """By the shell, as those of plug-ins are."""
    env = {"_PACELINE_COMPLETE": "bash_complete", "COMP_WORDS": "paceline path scenarios/st", "COMP_CWORD": "2"}
    done = CliRunner().invoke(cli, env=env, prog_name="paceline")
    assert done.output.split() == ["plain,scenarios/steady.py", "plain,scenarios/steps.py"]

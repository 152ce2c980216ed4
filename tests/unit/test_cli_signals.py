"""Signals and closed pipes at the command: what they do to a run, and that they leave nothing behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main as command
from harness.cli.signals import STOPS, reader_may_leave, stopped_as_by_ctrl_c

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("number", STOPS)
def test_a_stop_signal_is_a_keyboard_interrupt_once(number: signal.Signals) -> None:
    before = [signal.getsignal(one) for one in STOPS]
    with stopped_as_by_ctrl_c():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        signal.raise_signal(number)  # the second one is ignored: the run is being stopped
    assert [signal.getsignal(one) for one in STOPS] == before


def test_a_signal_that_is_ignored_stays_so() -> None:
    """As under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopped_as_by_ctrl_c():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_ends_and_errors_pass() -> None:
    """Only a reader that has gone is no error."""
    with pytest.raises(SystemExit), reader_may_leave():
        raise SystemExit(1)
    with pytest.raises(OSError, match="No space"), reader_may_leave():
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("entry", "name"),
    [("harness.__main__", "click"), ("paceline", "click"), ("paceline", "harness"), ("paceline", "importlib.util")],
)
def test_ctrl_c_while_modules_are_imported_is_one_line(entry: str, name: str) -> None:
    """The first 50 ms of the command: a module that is interrupted in its import stands for all of them."""
    code = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {name!r}:\n"
        "            raise KeyboardInterrupt\n"
        f"from {entry} import main\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        f"sys.modules.pop({name!r}, None)\n"
        "main()\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (5, "paceline: interrupted\n")


SIMULATED = ["simulate", "compare", "-s", "sync", "--items", "320", "--server", "constant-120ms", "--out"]


def test_ctrl_c_during_the_report_keeps_the_exit_code_of_the_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The result is complete: what is missing is named, with the command that makes it."""

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("reports.page.write", stopped)
    with pytest.raises(SystemExit) as end:
        command.main([*SIMULATED, str(tmp_path / "r")])
    said = capsys.readouterr()
    assert end.value.code == 0
    assert "verdict: valid" in said.out
    assert f"the reports are missing or incomplete; `paceline report {tmp_path / 'r'}` writes them" in said.err


@pytest.mark.parametrize(
    ("place", "hint"),
    [
        ("harness.experiment.run.summarize_run", "`paceline report {}` makes the result from the records"),
        ("harness.cli.show.show", "{}/result.json is complete"),
        ("harness.experiment.run.write_plan", None),
    ],
)
def test_a_second_ctrl_c_says_what_is_left(
    place: str, hint: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It ends the command at once, in the middle of its last steps."""

    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(place, stopped)
    with pytest.raises(SystemExit) as end:
        command.main([*SIMULATED, str(tmp_path / "r"), "--no-report"])
    assert end.value.code == 5
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said == "paceline: interrupted" + (f"; {hint.format(tmp_path / 'r')}" if hint else "")


@pytest.mark.parametrize("number", STOPS)
def test_a_stop_signal_ends_every_command_like_ctrl_c(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its `finally` blocks run, so that nothing that it started is left behind."""
    monkeypatch.setattr("harness.plugins.names", lambda kind: signal.raise_signal(number))
    with pytest.raises(SystemExit) as end:
        command.main(["list", "layers"])
    assert end.value.code == 5
    assert capsys.readouterr().err.strip() == "paceline: interrupted"


def test_too_many_open_files_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of plug-ins that cannot be read for want of a descriptor, say; it is no fault of ours."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files", "harness/client/layers")

    monkeypatch.setattr("harness.plugins.names", full)
    with pytest.raises(SystemExit) as end:
        command.main(["list", "layers"])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("paceline: too many open files; this process may have ")
    assert "`ulimit -n`" in said

"""A disk that takes no more while a run is recorded: the run ends, and its result says why."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.client.errors import UsageError
from harness.experiment import run as runs
from harness.measure.judge.verdict import exit_code
from harness.measure.result import RunResult, decode
from tests.unit.recorded import one_by_one, plan, plan_case, write_case

FULL = OSError(errno.ENOSPC, "No space left on device")


def full() -> bool:
    raise FULL


def made(directory: Path) -> Any:
    return SimpleNamespace(directory=directory, release=lambda: None)


def recorded(directory: Path) -> None:
    write_case(directory, "sync", one_by_one(400))
    plan(directory, plan_case())


def check(result: RunResult) -> None:
    assert exit_code(result) == 4
    assert result.verdict.reasons[0].code == "write_error"
    assert "No space left on device" in result.verdict.reasons[0].text
    assert "Do not trust" in result.headline


def test_a_disk_that_fills_up_while_recording_is_a_write_error(tmp_path: Path) -> None:
    """Whatever was being written: facts, the plan, a spec. What was recorded is shown."""
    recorded(tmp_path)
    result, interrupted = runs.summarized(made(tmp_path), full)
    check(result)
    assert not interrupted
    assert result.cases[0].counts.ok == 400
    assert decode((tmp_path / "result.json").read_bytes()).verdict.status == "valid"  # of what lies there


def test_a_result_that_cannot_be_written_is_one_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(tmp_path)
    monkeypatch.setattr(runs, "write_result", lambda result, directory: full())
    result, _ = runs.summarized(made(tmp_path), lambda: False)
    check(result)


def test_a_disk_that_was_full_before_the_run_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No space left on device"):
        runs.summarized(made(tmp_path), full)


def test_other_errors_are_not_taken_for_the_disks(tmp_path: Path) -> None:
    recorded(tmp_path)

    def missing() -> bool:
        raise FileNotFoundError(errno.ENOENT, "No such file")

    with pytest.raises(FileNotFoundError):
        runs.summarized(made(tmp_path), missing)

"""A disk that takes no more while a run is recorded: the run ends, and its result says why."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.client.errors import UsageError
from harness.experiment import run as runs
from harness.measure.judge.verdict import exit_code
from harness.measure.reduce import column_rows
from harness.measure.reduce.summary import summarize_run
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


class Small:
    """A file on a disk with little room: what fits is written, then the disk is full."""

    def __init__(self, file: Any, room: int) -> None:
        self._file, self._room = file, room

    def write(self, data: memoryview) -> int:
        if not self._room:
            raise FULL
        written = int(self._file.write(data[: self._room]))
        self._room -= written
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def with_room(monkeypatch: pytest.MonkeyPatch, beside: int, elsewhere: int) -> None:
    """Room for each temporary file beside the records, and in the system's folder."""
    real = tempfile.TemporaryFile

    def small(buffering: int = -1, dir: Path | None = None) -> Any:
        return Small(real(buffering=buffering), elsewhere if dir is None else beside)

    monkeypatch.setattr(tempfile, "TemporaryFile", small)


@pytest.mark.parametrize("beside", [0, 1, 37, 200, 399, 400])
def test_a_column_that_finds_the_disk_full_goes_on_in_the_systems_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: int
) -> None:
    """Wherever it was cut off: 50 numbers of 8 bytes."""
    monkeypatch.setattr(column_rows, "LARGE_ROWS", 10)
    with_room(monkeypatch, beside, 400)
    records = np.zeros(50, [("a", "<i8"), ("b", "u1")])
    records["a"], records["b"] = np.arange(50), np.arange(50) % 3
    builder = column_rows.RowsBuilder(records.dtype, tmp_path)
    for start in range(0, 50, 7):
        builder.add(records[start : start + 7])
    rows = builder.rows()
    assert isinstance(rows, column_rows.ColumnRows)
    assert rows["a"].tolist() == records["a"].tolist()
    assert rows["b"].tolist() == records["b"].tolist()


def test_no_room_for_the_summary_is_one_line_and_the_records_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of the run, and in a later report; with room the result is there."""
    recorded(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(column_rows, "LARGE_ROWS", 100)
        with_room(patched, 100, 150)
        for attempt in (lambda: runs.summarized(made(tmp_path), lambda: False), lambda: summarize_run(tmp_path)):
            with pytest.raises(UsageError) as found:
                attempt()
            text = str(found.value)
            assert text.startswith(f"{tmp_path / 'records'}: No space left on device; the rows of one repeat need 0.0")
            assert text.endswith(f"free some space and run `paceline report {tmp_path}`")
            assert "\n" not in text
    assert summarize_run(tmp_path).cases[0].counts.ok == 400

"""The directory of a run: checked, laid out, and given back where nothing was recorded.

Rules of this file
  1. Only files of a run are deleted. A folder of the user's that `--out` names keeps everything else.
  2. A plan without records is no run: a command that failed before its load can be given again as it was.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.base.files import write_atomically
from harness.client.errors import UsageError
from harness.experiment.directory_lock import DirectoryLock
from harness.measure.record.files import RECORDS
from harness.measure.record.plan import PLAN_FILE
from harness.measure.result import RESULT_FILE

MOCK_LOG = "mock_server.log"
"""Among the records before the first load."""


def check_free(directory: Path, overwrite: bool) -> None:
    """Raise UsageError if the directory holds a run, or files that are none and would be deleted."""
    if not holds_a_run(directory):
        return
    if not overwrite:
        raise UsageError(f"--out {directory}: holds a run already; choose another directory or add --overwrite")
    if _recorded(directory) and not (directory / PLAN_FILE).exists():
        raise UsageError(f"--out {directory}: its folder {RECORDS} is not that of a run; choose another directory")


def holds_a_run(directory: Path) -> bool:
    """Whether there are records or a result."""
    return (directory / RESULT_FILE).exists() or _recorded(directory)


def _recorded(directory: Path) -> bool:
    try:
        return any(name != MOCK_LOG for name in os.listdir(directory / RECORDS))
    except OSError:
        return False


def lay_out(directory: Path) -> DirectoryLock:
    """Make the directory, without the files of an earlier run. Raises UsageError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = DirectoryLock(directory)
        # The plan is the last: without it the records would be of no run.
        for path in [*(directory / RECORDS).glob("*"), directory / RESULT_FILE, directory / PLAN_FILE]:
            path.unlink(missing_ok=True)
        (directory / RECORDS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {directory}: {error.strerror or error}") from error
    if not _writable(directory):
        raise UsageError(f"--out {directory}: not writable")
    return lock


def _writable(directory: Path) -> bool:
    try:
        write_atomically(directory / ".probe", b"")
        (directory / ".probe").unlink()
    except OSError:
        return False
    return True


def give_back(directory: Path) -> None:
    """Remove what `lay_out` made. A directory with other files stays."""
    shutil.rmtree(directory / RECORDS, ignore_errors=True)
    with contextlib.suppress(OSError):
        directory.rmdir()


@contextlib.contextmanager
def given_back_without_plan(directory: Path) -> Iterator[None]:
    """An error or a stop before the plan is written gives the directory back."""
    try:
        yield
    except BaseException:
        if not (directory / PLAN_FILE).exists():
            give_back(directory)
        raise


@contextlib.contextmanager
def deletions_named(directory: Path) -> Iterator[None]:
    """Files of the run that somebody deletes while it is played are no fault of ours. Raises UsageError."""
    try:
        yield
    except FileNotFoundError as error:
        missing = Path(os.fsdecode(error.filename or ""))
        if not missing.is_relative_to(directory):
            raise
        raise deleted(directory, missing) from error


def deleted(directory: Path, missing: Path) -> UsageError:
    """The error of a run whose files were deleted while it was played."""
    return UsageError(
        f"{directory}: files were deleted while the run was played ({missing.name} is missing). Run it again"
    )

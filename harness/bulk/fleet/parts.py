"""The folder of a run with workers: one part a range and epoch, each with a journal of its own.

Rules of this file
  1. Nobody writes to a part of an earlier epoch. A new epoch begins with a copy of it, so a worker that is late cannot
     disturb the one that follows.
  2. The journal is copied first, and put into place last. Output and dead letters only grow, and a checkpoint in the
     journal describes what they held before it was written; so the copy is whole once its journal is there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from harness.bulk.settings import SUFFIX_DEAD
from harness.client.errors import UsageError

SUFFIX = ".parts"
RUN_FILE, JOURNAL_FILE, STATUS_FILE = "run", "journal", "status.json"
LIST_FILE = "answers.jsonl"
_PACKED = (".gz", ".zst")


def in_folder(output: str) -> bool:
    """Whether an output is a folder, for parts."""
    return output.endswith("/") or os.path.isdir(output)


def list_in(output: str) -> str:
    """The list of the parts in a folder."""
    return os.path.join(output, LIST_FILE)


def make_folder_of(output: str) -> None:
    """Make the folder of a list of parts, if it is not there. Raises UsageError if that cannot be."""
    folder, name = os.path.split(output)
    if folder and name == LIST_FILE:
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--output {folder}: {error.strerror or error}") from error


class Parts:
    """The files of one run."""

    def __init__(self, output: str) -> None:
        self.folder = Path(output + SUFFIX)
        self._packed = Path(output).suffix if Path(output).suffix in _PACKED else ""

    @property
    def journal(self) -> Path:
        """The coordinator's journal."""
        return self.folder / JOURNAL_FILE

    @property
    def status(self) -> Path:
        """The last state of the run, for `paceline process status`."""
        return self.folder / STATUS_FILE

    def output(self, number: int, epoch: int) -> Path:
        """The answers of a range."""
        return self.folder / f"part-{number:06}-{epoch}.jsonl{self._packed}"

    def dead(self, number: int, epoch: int) -> Path:
        """The dead letters of a range."""
        return Path(str(self.output(number, epoch)) + SUFFIX_DEAD)

    def journal_of(self, number: int, epoch: int) -> Path:
        """The journal of a range."""
        return Path(str(self.output(number, epoch)) + ".journal")

    def adopt(self, number: int, epoch: int) -> None:
        """Begin an epoch with what the ones before it have left. Raises OSError."""
        if earlier := self.newest_epoch(number, epoch - 1):
            self._copy(number, earlier, epoch)

    def newest_epoch(self, number: int, most: int) -> int:
        """The newest epoch up to this one that has left something; 0 if there is none."""
        return next((epoch for epoch in range(most, 0, -1) if self.journal_of(number, epoch).exists()), 0)

    def _copy(self, number: int, earlier: int, epoch: int) -> None:
        journal = self.journal_of(number, epoch)
        beside = Path(str(journal) + ".copy")
        shutil.copyfile(self.journal_of(number, earlier), beside)
        for path in (self.output, self.dead):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(path(number, earlier), path(number, epoch))
        os.replace(beside, journal)

    def remove(self, number: int, keep: int | None = None) -> None:
        """Remove all files of a range, but for the answers of the epoch `keep`."""
        kept = self.output(number, keep) if keep is not None else None
        for path in self.folder.glob(f"part-{number:06}-*"):
            if path == kept:
                continue
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    def leave_parts(self) -> None:
        """Remove what only an unfinished run needs; the parts stay."""
        for name in (STATUS_FILE, RUN_FILE, JOURNAL_FILE):
            with contextlib.suppress(FileNotFoundError):
                (self.folder / name).unlink()

    def remove_all(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def check_token(self, token: str, worker: str, host: str) -> None:
        """Raise UsageError if this process does not see the files of the coordinator."""
        path = self.folder / RUN_FILE
        try:
            found = path.read_text(encoding="utf-8")
        except OSError as error:
            why = error.strerror or str(error)
        else:
            if found == token:
                return
            why = "it belongs to another run"
        raise UsageError(f"{path}: {why}, {seen_by(worker, host)}")


def seen_by(worker: str, host: str) -> str:
    """The end of a message: a worker that sees other files than the coordinator."""
    needed = "all workers need the input and the output on one file system that they share"
    return f"seen by {_at(worker, host)}; {needed}"


def located(error: UsageError, worker: str, host: str) -> str:
    """The text of a mistake that the coordinator did not find, with the worker that found it."""
    return str(error) if _at(worker, host) in str(error) else f"{error} (found by {_at(worker, host)})"


def _at(worker: str, host: str) -> str:
    return f"worker {worker} on {host}"


def check_none(output: str) -> None:
    """Raise UsageError if a run with workers has begun this output."""
    if os.path.exists(Parts(output).journal):
        raise UsageError(
            f"{output}{SUFFIX}: a run with --workers has begun this output; give --workers N (and --resume or "
            "--overwrite)"
        )

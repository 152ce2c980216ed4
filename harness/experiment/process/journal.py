"""What makes a run resumable: every result is in the journal before anything else happens to it.

Rules of this file
  1. A result is appended at once, with one system call: a process that is killed loses none that it had.
  2. A checkpoint is appended only after the files it speaks of were synced to the sizes it states.
  3. To resume: cut the files to the sizes of the last checkpoint, then apply the results that it does not cover.
  4. A record that was torn by the kill is the last one; it is cut off, and its call is made again.
  5. The journal is rewritten, beside itself and then in its own place, before it grows beyond `REWRITE_BYTES`.

The file: one record a line, its kind in the first byte. `H` the run's fingerprint, `C` a checkpoint, `R17 ...` the
output line of input line 17, `D17 ...` its dead-letter line.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from harness.client.errors import UsageError
from harness.experiment.process.done import Done, Runs
from harness.experiment.process.sinks import write_all

REWRITE_BYTES = 16 * 1024 * 1024
RESULT, DEAD = b"R", b"D"


class Mark(msgspec.Struct, frozen=True):
    """A place in the input where a line begins: reading can go on from here."""

    line: int = 1
    offset: int = 0  # in the unpacked bytes
    crc: int = 0  # of all of them before it


class Checkpoint(msgspec.Struct, frozen=True):
    """All that is known of the past: what is in the files, and where to go on reading."""

    next: int = 1  # every line below is settled and in the files
    runs: Runs = []
    output_bytes: int = 0
    dead_bytes: int = 0
    mark: Mark = Mark()
    counts: dict[str, Any] = {}
    complete: bool = False

    @property
    def place(self) -> tuple[int, Runs, int, int]:
        """What must have changed for another checkpoint to be worth its while."""
        return self.next, self.runs, self.output_bytes, self.dead_bytes

    def done(self) -> Done:
        """The lines whose results are in the files."""
        return Done(self.next, self.runs)


class Record(msgspec.Struct, frozen=True):
    """A result that no checkpoint covers yet."""

    kind: bytes
    line: int
    text: bytes  # with its end


class Past(msgspec.Struct, frozen=True):
    """What a journal tells: whose it is, its last checkpoint, and the results since."""

    fingerprint: dict[str, Any]
    checkpoint: Checkpoint
    records: list[Record]


def read(path: Path) -> Past:
    """Read a journal; raises UsageError if it is not one or has no whole head."""
    fingerprint: dict[str, Any] | None = None
    checkpoint = Checkpoint()
    covered = checkpoint.done()
    records: dict[int, Record] = {}
    for line in _whole_lines(path):
        try:
            kind = line[:1]
            if kind == b"H":
                fingerprint = msgspec.json.decode(line[1:], type=dict[str, Any])
            elif kind == b"C":
                checkpoint = msgspec.json.decode(line[1:], type=Checkpoint)
                covered = checkpoint.done()
                records = {number: record for number, record in records.items() if number not in covered}
            else:
                record = _record(line)
                if record.line not in covered:
                    records[record.line] = record
        except (ValueError, msgspec.MsgspecError):  # torn, or never reached the disk: nothing after it counts
            break
        if fingerprint is None:
            break
    if fingerprint is None:
        raise UsageError(f"{path}: is not the journal of a run; --overwrite starts anew")
    return Past(fingerprint, checkpoint, list(records.values()))


def _whole_lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error


def _record(line: bytes) -> Record:
    number, space, text = line[1:].partition(b" ")
    if line[:1] not in {RESULT, DEAD} or not space or not number.isdigit() or not text.endswith(b"}\n"):
        raise ValueError(line[:80])
    msgspec.json.decode(text)
    return Record(line[:1], int(number), text)


def encode(kind: bytes, line: int, text: bytes) -> bytes:
    """A result as its record."""
    return b"%b%d %b" % (kind, line, text)


class Journal:
    """The append-only file beside the output. Raises OSError when the disk does not take what it is given."""

    def __init__(self, path: Path, fingerprint: dict[str, Any]) -> None:
        self.path = path
        self.size = 0
        self._head = b"H" + msgspec.json.encode(fingerprint) + b"\n"
        self._fd = -1
        self._late: list[bytes] | None = None  # appended while the journal is being rewritten
        self._failed: OSError | None = None

    def create(self, checkpoint: Checkpoint, records: Iterable[bytes] = ()) -> None:
        """Start it, or start it over, with what is known: in one step, whatever lies there."""
        self._replace(*self._written_beside(checkpoint, records))

    def append(self, record: bytes) -> None:
        """A whole record, with its end. After one that the disk did not take, none is: it would join the torn one."""
        if self._failed is not None:
            raise self._failed
        if self._late is not None:
            self._late.append(record)
        try:
            write_all(self._fd, record, str(self.path))
        except OSError as error:
            self._failed = error
            raise
        self.size += len(record)

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """State what the files hold; they must have been synced."""
        self.append(_line_of(checkpoint))

    def sync(self) -> None:
        """What was appended survives a power failure; may take long."""
        os.fsync(self._fd)

    @property
    def long(self) -> bool:
        """It is time to rewrite it."""
        return self.size > REWRITE_BYTES

    def begin_rewrite(self) -> None:
        """From now on, until `end_rewrite`, what is appended is kept for the new file as well."""
        self._late = []

    def write_beside(self, checkpoint: Checkpoint, records: Iterable[bytes]) -> tuple[int, int]:
        """Write and sync the new file; may be called in a thread. What it returns is for `end_rewrite`."""
        return self._written_beside(checkpoint, records)

    def end_rewrite(self, written: tuple[int, int]) -> None:
        """The new file takes the old one's place."""
        fd, size = written
        for record in self._late or ():
            write_all(fd, record, str(self.path))
            size += len(record)
        self._late = None
        self._replace(fd, size)

    def _written_beside(self, checkpoint: Checkpoint, records: Iterable[bytes]) -> tuple[int, int]:
        beside = self.path.with_name(self.path.name + ".new")
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            data = b"".join([self._head, _line_of(checkpoint), *records])
            write_all(fd, data, str(beside))
            os.fsync(fd)
        except OSError:
            os.close(fd)
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
        return fd, len(data)

    def _replace(self, fd: int, size: int) -> None:
        os.replace(self.path.with_name(self.path.name + ".new"), self.path)
        with contextlib.suppress(OSError):  # a file system that cannot sync a folder has nothing to sync
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        self.close()
        self._fd, self.size = fd, size

    def close(self) -> None:
        """Give the file back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _line_of(checkpoint: Checkpoint) -> bytes:
    return b"C" + msgspec.json.encode(checkpoint) + b"\n"

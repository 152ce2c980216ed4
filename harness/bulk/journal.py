"""The journal that makes a run resumable: every result is written to it first.

Rules of this file
  1. A result is appended at once, with one system call: a killed process loses no result.
  2. A checkpoint is appended only after the files it describes were synced to the sizes it states.
  3. To resume: check the files against the checksums of the last checkpoint, cut them to its sizes, then apply the
     results that it does not cover.
  4. Each record has a checksum. Records at the end that do not fit it were torn by a kill: they are cut off, and their
     calls are made again. One that does not fit and has whole records after it is damage, and the journal is refused.
  5. Head and first checkpoint are written in one step, before anything else; without them a journal is damaged.
  6. The journal is rewritten, beside itself and then in its own place, before it grows beyond `REWRITE_BYTES`.

The file: one record a line: its kind (one byte), its CRC-32 (eight hexadecimal digits, of all else in the line without
its end), a space, and the rest. `H` the run's fingerprint, `C` a checkpoint, `B` how far the input was read, `R` the
output line of an input line (`R0a1b2c3d 17 {...}`), `D` its dead-letter line.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import Any

import msgspec

from harness.bulk.settled import Done, Runs
from harness.bulk.sinks import DAMAGED_HINT, write_all
from harness.client.errors import UsageError

REWRITE_BYTES = 16 * 1024 * 1024
HEAD, CHECKPOINT, BLOCK, RESULT, DEAD = b"H", b"C", b"B", b"R", b"D"
KINDS = frozenset({HEAD, CHECKPOINT, BLOCK, RESULT, DEAD})


class Mark(msgspec.Struct, frozen=True):
    """A place in the input where a line begins and reading can start."""

    line: int = 1
    # Offset in the unpacked bytes.
    offset: int = 0
    # Checksum of all bytes before it.
    crc: int = 0


class Checkpoint(msgspec.Struct, frozen=True):
    """State of a run: the contents of its files and the place where reading continues."""

    # Every line below is settled and in the files.
    next: int = 1
    runs: Runs = []
    output_bytes: int = 0
    output_crc: int = 0
    dead_bytes: int = 0
    dead_crc: int = 0
    mark: Mark = Mark()
    # End of reading: no line from here on was given out.
    read: Mark = Mark()
    counts: dict[str, Any] = {}
    complete: bool = False
    # An orderly end before the input's.
    stopped: bool = False
    # The process that writes, for `paceline process status`.
    host: str = ""
    pid: int = 0
    # Unix time since which the server has taken no connection.
    waiting_since: float | None = None

    @property
    def place(self) -> tuple[int, Runs, int, int, bool]:
        """Key of the state: a new checkpoint is written only if it changed."""
        return self.next, self.runs, self.output_bytes, self.dead_bytes, self.waiting_since is not None

    def done(self) -> Done:
        """The lines whose results are in the files."""
        return Done(self.next, self.runs)


class Record(msgspec.Struct, frozen=True):
    """A result that no checkpoint covers yet."""

    kind: bytes
    line: int
    # Includes the line end.
    text: bytes


class Past(msgspec.Struct, frozen=True):
    """Contents of a journal: the run's fingerprint, its last checkpoint and the results since."""

    fingerprint: dict[str, Any]
    checkpoint: Checkpoint
    records: list[Record]
    # No line of the input from here on was given out.
    read: Mark = Mark()


def read(path: Path) -> Past:
    """Read a journal; raises UsageError if it is not one, or damaged."""
    fingerprint: dict[str, Any] | None = None
    checkpoint: Checkpoint | None = None
    covered, read_to = Done(), Mark()
    records: dict[int, Record] = {}
    for kind, body in records_of(path):
        if kind == HEAD:
            fingerprint = msgspec.json.decode(body, type=dict[str, Any])
        elif kind == CHECKPOINT:
            checkpoint = msgspec.json.decode(body, type=Checkpoint)
            covered, read_to = checkpoint.done(), max(read_to, checkpoint.read, key=_offset)
            records = {number: record for number, record in records.items() if number not in covered}
        elif kind == BLOCK:
            read_to = max(read_to, msgspec.json.decode(body, type=Mark), key=_offset)
        else:
            number, _, text = body.partition(b" ")
            if (line := int(number)) not in covered:
                records[line] = Record(kind, line, text + b"\n")
    if fingerprint is None or checkpoint is None:
        raise UsageError(f"{path}: is damaged: its first two records are not whole; {DAMAGED_HINT}")
    return Past(fingerprint, checkpoint, list(records.values()), read_to)


def _offset(mark: Mark) -> int:
    return mark.offset


def records_of(path: Path, kinds: Set[bytes] = KINDS) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of each whole record; raises UsageError for one that is damaged."""
    # Number and place of the first record that is not whole.
    damaged: tuple[int, int] | None = None
    at = 0
    for number, line in enumerate(_lines(path), 1):
        record = _checked(line, kinds)
        if record is None:
            if number == 1:
                raise UsageError(f"{path}: is not the journal of a run, or damaged; {DAMAGED_HINT}")
            # A block of the file that never reached the disk; ignore everything after it.
            if b"\0" in line:
                return
            damaged = damaged or (number, at)
        elif damaged is not None:
            where = f"record {damaged[0]} (at byte {damaged[1]})"
            raise UsageError(f"{path}: is damaged: {where} does not fit its checksum; {DAMAGED_HINT}")
        else:
            yield record
        at += len(line)


def _checked(line: bytes, kinds: Set[bytes]) -> tuple[bytes, bytes] | None:
    """Kind and body of a line that fits its checksum."""
    kind, crc, body = line[:1], line[1:9], line[10:-1]
    if kind not in kinds or not line.endswith(b"\n") or line[9:10] != b" " or crc != _crc(kind, body):
        return None
    return kind, body


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error


def _crc(kind: bytes, body: bytes) -> bytes:
    return b"%08x" % zlib.crc32(body, zlib.crc32(kind))


def line_of(kind: bytes, body: bytes) -> bytes:
    """A record as a line, with its checksum."""
    return b"%b%b %b\n" % (kind, _crc(kind, body), body)


def encode(kind: bytes, line: int, text: bytes) -> bytes:
    """A result as its record; `text` has its end."""
    return line_of(kind, b"%d %b" % (line, text[:-1]))


def text_of(record: bytes) -> bytes:
    """The line of the output or dead-letter file in a record of a result."""
    return record.split(b" ", 2)[2]


class Journal:
    """The append-only file beside the output. Raises OSError when a write fails."""

    def __init__(self, path: Path, fingerprint: dict[str, Any]) -> None:
        self.path = path
        self.size = 0
        self._head = line_of(HEAD, msgspec.json.encode(fingerprint))
        self._fd = -1
        # Records appended during a rewrite.
        self._late: list[bytes] | None = None
        self._failed: OSError | None = None

    def create(self, checkpoint: Checkpoint, records: Iterable[bytes] = ()) -> None:
        """Create or replace it with the present state, in one step."""
        self._replace(*self._written_beside(checkpoint, records))

    def append(self, record: bytes) -> None:
        """Append a whole record. After a failed write no record is appended: it would join the torn one."""
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
        """Record the contents of the files; they must have been synced."""
        self.append(_line_of(checkpoint))

    def block(self, read: Mark) -> None:
        """Record how far the input was read, before its lines are given out."""
        self.append(line_of(BLOCK, msgspec.json.encode(read)))

    def touch(self) -> None:
        """Show that the process lives, without a record."""
        with contextlib.suppress(OSError):
            os.utime(self.path)

    def sync(self) -> None:
        """Make all records survive a power failure; may take long."""
        os.fsync(self._fd)

    @property
    def long(self) -> bool:
        """Whether it has grown enough to be rewritten."""
        return self.size > REWRITE_BYTES

    def begin_rewrite(self) -> None:
        """Until `end_rewrite`, keep appended records for the new file as well."""
        self._late = []

    def write_beside(self, checkpoint: Checkpoint, records: Iterable[bytes]) -> tuple[int, int]:
        """Write and sync the new file; may be called in a thread. Pass its result to `end_rewrite`."""
        return self._written_beside(checkpoint, records)

    def end_rewrite(self, written: tuple[int, int]) -> None:
        """Replace the old file with the new one."""
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
        # Some file systems cannot sync a folder.
        with contextlib.suppress(OSError):
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        self.close()
        self._fd, self.size = fd, size

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _line_of(checkpoint: Checkpoint) -> bytes:
    return line_of(CHECKPOINT, msgspec.json.encode(checkpoint))

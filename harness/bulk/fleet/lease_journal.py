"""The coordinator's journal: ranges, leases, finished and joined parts. Read by a later session and by `status`.

Records have the form of `harness.bulk.journal`. Each is synced before a worker hears of it: an epoch that was given
out is never given out again, and a range that a worker may forget is done.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from harness.bulk.fleet.messages import Report
from harness.bulk.journal import Mark, line_of, records_of
from harness.bulk.leases.range import Range
from harness.bulk.sinks import write_all
from harness.bulk.tally import RowCounts
from harness.client.errors import UsageError

HEAD, RANGE, LEASE, DONE, JOINED, ALL_CUT, ENDED = b"H", b"A", b"G", b"F", b"J", b"Z", b"X"
KINDS = frozenset({HEAD, RANGE, LEASE, DONE, JOINED, ALL_CUT, ENDED})


class Head(msgspec.Struct, frozen=True):
    """What all sessions of a run share."""

    fingerprint: dict[str, Any]
    token: str
    range_lines: int
    # Settings that a reader of the journal needs.
    input: str = ""
    output: str = ""
    dead_letter: str = ""


class Granted(msgspec.Struct, frozen=True):
    """A lease that was given out."""

    number: int
    epoch: int
    worker: str


class Joined(msgspec.Struct, frozen=True):
    """State of the output: all ranges before `number` are in it."""

    number: int = 0
    output_bytes: int = 0
    output_crc: int = 0
    dead_bytes: int = 0
    dead_crc: int = 0
    # Place in the input up to which lines are in the output.
    mark: Mark = Mark()
    counts: RowCounts = msgspec.field(default_factory=RowCounts)
    last: Range | None = None


class History(msgspec.Struct):
    """Contents of the journal."""

    head: Head
    joined: Joined = msgspec.field(default_factory=Joined)
    # Those that are not joined.
    ranges: dict[int, Range] = {}
    epochs: dict[int, Granted] = {}
    reports: dict[int, Report] = {}
    closed: bool = False
    # Every worker of the last session has ended.
    ended: bool = True


def read(path: Path) -> History:
    """Read a journal; raises UsageError if it is not one, or damaged."""
    history: History | None = None
    for kind, body in records_of(path, KINDS):
        if kind == HEAD:
            history = History(msgspec.json.decode(body, type=Head))
        elif history is not None:
            _apply(history, kind, body)
    if history is None:
        raise UsageError(f"{path}: is damaged: it has no first record; --overwrite starts over")
    return history


def _apply(history: History, kind: bytes, body: bytes) -> None:
    if kind == RANGE:
        new = msgspec.json.decode(body, type=Range)
        history.ranges[new.number] = new
        history.closed = False
    elif kind == LEASE:
        granted = msgspec.json.decode(body, type=Granted)
        history.epochs[granted.number] = granted
        history.ended = False
    elif kind == DONE:
        report = msgspec.json.decode(body, type=Report)
        history.reports[report.finished.number] = report
    elif kind == JOINED:
        history.joined = msgspec.json.decode(body, type=Joined)
        for number in [number for number in history.ranges if number < history.joined.number]:
            for table in (history.ranges, history.epochs, history.reports):
                table.pop(number, None)
    elif kind == ENDED:
        history.ended = True
    else:
        history.closed = True


class CoordinatorJournal:
    """The append-only file. Raises OSError when a write fails."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    def create(self, history: History) -> None:
        """Create it, or replace it by one without entries that are no longer needed."""
        beside = self.path.with_name(self.path.name + ".new")
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o666)
        write_all(fd, b"".join(_records(history)), str(beside))
        os.fsync(fd)
        os.replace(beside, self.path)
        self._fd = fd

    def append(self, kind: bytes, what: Any) -> None:
        """Append a record and sync it."""
        self.write(kind, what)
        self.sync()

    def write(self, kind: bytes, what: Any) -> None:
        """Append a record that may be synced later."""
        write_all(self._fd, line_of(kind, msgspec.json.encode(what)), str(self.path))

    def sync(self) -> None:
        """Make all records survive a power failure."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _records(history: History) -> Iterator[bytes]:
    yield line_of(HEAD, msgspec.json.encode(history.head))
    yield line_of(JOINED, msgspec.json.encode(history.joined))
    for kind, table in ((RANGE, history.ranges), (LEASE, history.epochs), (DONE, history.reports)):
        for number in sorted(table):
            yield line_of(kind, msgspec.json.encode(table[number]))
    if history.closed:
        yield line_of(ALL_CUT, b"{}")
    if history.ended:
        yield line_of(ENDED, b"{}")

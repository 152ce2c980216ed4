"""The state of a run as its files tell it, for `paceline process status`; nothing is written.

The coordinator writes a snapshot beside its journal once a second. What a run has done is read from the journals, so it
is known also when no coordinator is alive.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import Any

import msgspec

from harness.bulk import journal as single
from harness.bulk import resume
from harness.bulk.fleet import lease_journal as journals
from harness.bulk.fleet.joining import total
from harness.bulk.fleet.lease_journal import History
from harness.bulk.fleet.parts import Parts
from harness.bulk.table_output import SUFFIX_LINES
from harness.bulk.tally import RowCounts
from harness.client.errors import UsageError

# A snapshot that is older was left by a coordinator that is gone.
ALIVE_S = 10.0


class Snapshot(msgspec.Struct, frozen=True):
    """The facts that the coordinator alone knows."""

    rate_per_s: float = 0.0
    in_flight: int = 0
    # Lines of the input, as far as they are known or estimated.
    lines: float | None = None
    counts: RowCounts = msgspec.field(default_factory=RowCounts)
    workers: list[dict[str, Any]] = []
    lost: list[str] = []
    # Value of the common limit, if it has one.
    limit: int | None = None
    # Part of the rate limit that refusals leave.
    rate_factor: float = 1.0
    paused_s: float = 0.0
    # Whether all of the input is counted.
    lines_exact: bool = False
    # Seconds for which the server has taken no connection.
    waiting_s: float = 0.0
    # The coordinator.
    host: str = ""
    pid: int = 0
    # Its session is over.
    ended: bool = False


class RunStatus(msgspec.Struct, frozen=True):
    """State of a run."""

    output: str
    # running, stopped or complete
    state: str
    # Seconds since the coordinator's last snapshot; None without one.
    silent_s: float | None
    done: int
    lines: float | None
    rate_per_s: float
    eta_s: float | None
    counts: RowCounts
    in_flight: int = 0
    ranges: dict[str, int] = {}
    limit: int | None = None
    rate_factor: float = 1.0
    paused_s: float = 0.0
    workers: list[dict[str, Any]] = []
    lost: list[str] = []
    lines_exact: bool = False
    # Seconds for which the server has taken no connection.
    waiting_s: float = 0.0
    # It is stopped, and was not killed.
    orderly: bool = False


def write_snapshot(parts: Parts, snapshot: Snapshot) -> None:
    """Replace the snapshot in one step; a disk that is full does not end the run here."""
    beside = parts.status.with_name(parts.status.name + ".new")
    with contextlib.suppress(OSError):
        beside.write_bytes(msgspec.json.encode(snapshot))
        beside.replace(parts.status)


def status_of(output: str, now: float | None = None) -> RunStatus:
    """The state of the run with this output. Raises UsageError if there is none, or its journal is damaged."""
    # The journals of a table are those of its lines.
    lines_of_table = output + SUFFIX_LINES
    if not _has_begun(output) and _has_begun(lines_of_table):
        return msgspec.structs.replace(status_of(lines_of_table, now), output=output)
    parts, lone = Parts(output), Path(output + ".journal")
    if _is_there(parts.journal):
        try:
            return _of_workers(output, parts, time.time() if now is None else now)
        # It has ended in this moment.
        except (UsageError, OSError):
            if parts.journal.exists():
                raise
    if _is_there(lone):
        return _of_one_process(output, lone)
    raise UsageError(f"{output}: no run has begun this output: there is neither {parts.folder} nor {lone}")


def _has_begun(output: str) -> bool:
    return _is_there(Parts(output).journal) or _is_there(Path(output + ".journal"))


def _is_there(path: Path) -> bool:
    """Raises UsageError if that cannot be known, such as in a folder of another user."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    return True


def _of_workers(output: str, parts: Parts, now: float) -> RunStatus:
    history = journals.read(parts.journal)
    snapshot, silent_s = _snapshot(parts, now)
    alive = not snapshot.ended and _lives(silent_s, snapshot.host, snapshot.pid)
    counts = snapshot.counts if alive else _counts(history, parts)
    joined = history.joined.number
    ranges = {"cut": joined + len(history.ranges), "done": joined + len(history.reports), "joined": joined}
    return RunStatus(
        output,
        "running" if alive else "stopped",
        silent_s,
        counts.settled + counts.passed_over,
        snapshot.lines,
        snapshot.rate_per_s if alive else 0.0,
        _eta_s(snapshot, counts) if alive else None,
        counts,
        snapshot.in_flight if alive else 0,
        ranges,
        snapshot.limit,
        snapshot.rate_factor,
        snapshot.paused_s if alive else 0.0,
        snapshot.workers if alive else [],
        snapshot.lost,
        snapshot.lines_exact,
        snapshot.waiting_s if alive else 0.0,
        snapshot.ended,
    )


def _lives(silent_s: float | None, host: str, pid: int) -> bool:
    """Whether a process that writes every second is at work; on this machine it is known at once that it is not."""
    if silent_s is None or silent_s > ALIVE_S:
        return False
    if not pid or host != socket.gethostname():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # It belongs to another user.
        return True
    return True


def _snapshot(parts: Parts, now: float) -> tuple[Snapshot, float | None]:
    try:
        age_s = max(0.0, now - parts.status.stat().st_mtime)
        return msgspec.json.decode(parts.status.read_bytes(), type=Snapshot), age_s
    except (OSError, msgspec.MsgspecError):
        return Snapshot(), None


def _counts(history: History, parts: Parts) -> RowCounts:
    """Counts of done rows: joined, in finished parts, and in parts that were begun."""
    finished = [report.counts for report in history.reports.values()]
    return total([history.joined.counts, *finished, *begun_counts(history, parts).values()])


def begun_counts(history: History, parts: Parts) -> dict[int, RowCounts]:
    """Counts of the parts of ranges that are not finished."""
    found: dict[int, RowCounts] = {}
    for number, granted in history.epochs.items():
        newest = parts.newest_epoch(number, granted.epoch)
        if number not in history.reports and newest:
            with contextlib.suppress(UsageError):
                found[number] = resume.counts_of(single.read(parts.journal_of(number, newest)))
    return found


def _eta_s(snapshot: Snapshot, counts: RowCounts) -> float | None:
    if snapshot.lines is None or snapshot.rate_per_s <= 0:
        return None
    return max(0.0, snapshot.lines - counts.settled - counts.passed_over) / snapshot.rate_per_s


def _of_one_process(output: str, lone: Path) -> RunStatus:
    past = single.read(lone)
    counts = resume.counts_of(past)
    done = counts.settled + counts.passed_over
    size, read = past.fingerprint["input"].get("bytes"), past.read
    # Lines of several files have no offset.
    lines = max(read.line, past.checkpoint.read.line) - 1 if past.checkpoint.complete else None
    if lines is None and size and read.offset:
        lines = round((read.line - 1) * max(1.0, size / read.offset))
    silent_s = max(0.0, time.time() - lone.stat().st_mtime)
    last = past.checkpoint
    alive = not (last.complete or last.stopped) and _lives(silent_s, last.host, last.pid)
    return RunStatus(
        output,
        "complete" if last.complete else "running" if alive else "stopped",
        silent_s,
        done,
        lines,
        0.0,
        None,
        counts,
        lines_exact=last.complete,
        waiting_s=max(0.0, time.time() - last.waiting_since) if alive and last.waiting_since is not None else 0.0,
        orderly=last.stopped,
    )

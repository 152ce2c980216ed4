"""Every request of a run as blocks of named columns, in constant memory: one block for each frame of a record file.

Rules of this file
  1. Instants are seconds since the load's zero of their repeat, on one axis for all its processes, as in `columns`.
     What did not happen is null.
  2. Rows are given as they were recorded, warm-up and failures included. No figure is computed but the parts of each
     latency, with the definitions of `columns`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.base.turn_index import session_of, turn_of
from harness.client.types import Outcome
from harness.measure.record.files import RecordPaths, find, read_header
from harness.measure.record.rows_file import FLAG_CACHED, FLAG_STOPPED, REQUEST_DTYPE, TOKEN_DTYPE, End
from harness.measure.record.sealed_json import DamagedError, read_sealed
from harness.measure.record.segments import OtherRowsError
from harness.measure.reduce import columns
from harness.measure.reduce.columns import Array
from harness.measure.reduce.token_cells import TOKEN_COLUMNS, Column, TokensBeside, seconds, token_cells

BLOCK_ROWS = 8192


COLUMNS = {
    "case": Column(str, "", "name of the case"),
    "repeat": Column(int, "", "from 0"),
    "process": Column(int, "", "client process, from 0"),
    "user": Column(int, "", "client application in the process"),
    "index": Column(int, "", "position of the item in the input"),
    "session": Column(int, "", "of a load of sessions: number of the session, from 0; else null"),
    "turn": Column(int, "", "of a load of sessions: place in the conversation, from 1; else null"),
    "outcome": Column(str, "", "ok, rejected, timed_out ..."),
    "status": Column(int, "", "HTTP status; null if none arrived"),
    "attempts": Column(int, "", "HTTP exchanges; 0 for an item that shares a request with an earlier one"),
    "cached": Column(bool, "", "answered by a cache of the client"),
    "stopped": Column(bool, "", "a stream that the client ended on purpose (--cancel)"),
    "priority": Column(int, "", "of the item"),
    "chunks": Column(int, "", "content events of a stream"),
    "zero_unix_s": Column(float, "s", "the load's zero, as seconds since 1970"),
    "due_s": Column(float, "s", "when the item was due"),
    "fired_s": Column(float, "s", "when the load emitted it"),
    "first_sent_s": Column(float, "s", "start of the first attempt"),
    "sent_s": Column(float, "s", "start of the last attempt"),
    "first_byte_s": Column(float, "s", "first byte of the answer; of a stream its first content event"),
    "last_chunk_s": Column(float, "s", "last content event of a stream"),
    "done_s": Column(float, "s", "when the outcome was known"),
    "latency_s": Column(float, "s", "done - due; the sum of the next four"),
    "lag_s": Column(float, "s", "fired - due"),
    "queue_wait_s": Column(float, "s", "first_sent - fired"),
    "retry_time_s": Column(float, "s", "sent - first_sent"),
    "service_time_s": Column(float, "s", "done - sent; null if nothing was sent"),
    **TOKEN_COLUMNS,
}
"""Name -> its type, unit and meaning, in the order of the table."""
_INSTANTS = ("due", "fired", "first_sent", "sent", "first_byte", "last_chunk", "done")
_ALWAYS = {"due", "fired", "done"}
_PLAIN = ("user", "index", "attempts", "priority", "chunks")
_NAMES = {outcome.value: outcome.name for outcome in Outcome}

Block = dict[str, list[Any]]


class Table:
    """The requests of a run directory. `damaged` names the defects that were met so far."""

    def __init__(self, directory: Path, cases: Sequence[str] = (), sessions: Collection[str] = ()) -> None:
        self._found = find(directory, cases)
        # Cases whose items are turns of sessions.
        self._sessions = sessions
        self.damaged: list[str] = []

    def blocks(self) -> Iterator[Block]:
        """All rows, case by case, repeat by repeat, process by process. Raises OSError."""
        for case, repeats in self._found.items():
            for repeat, processes in repeats.items():
                zeros = [read_header(process.requests)[0].t0_unix_s for process in processes]
                for process, zero in zip(processes, zeros, strict=True):
                    same = {"case": case, "repeat": repeat, "process": process.process, "zero_unix_s": min(zeros)}
                    beside = TokensBeside(self._tokens(process))
                    for rows in self._rows(process):
                        more = token_cells(rows, beside.of(rows)) | _turn_cells(rows, case in self._sessions)
                        yield _block(rows, same, round((zero - min(zeros)) * 1e9), more)
                    beside.finish()

    def _rows(self, process: RecordPaths) -> Iterator[Array]:
        """The sound rows of one process, some thousand at a time."""
        for rows in self._sound(process.requests, REQUEST_DTYPE, _written(process.end, "recorded")):
            yield from (rows[first : first + BLOCK_ROWS] for first in range(0, len(rows), BLOCK_ROWS))

    def _tokens(self, process: RecordPaths) -> Iterator[Array]:
        """The sound rows of its token counts; none if it recorded none."""
        written = _written(process.end, "token_rows")
        if written or process.tokens.exists():
            yield from self._sound(process.tokens, TOKEN_DTYPE, written)

    def _sound(self, path: Path, dtype: np.dtype[Any], written: int | None) -> Iterator[Array]:
        """The sound frames of a file. Defects are noted; `written` is the number of rows that there should be."""
        try:
            there, sound = yield from columns.sound_frames(path, dtype)
        except (ValueError, OSError) as error:
            if dtype is REQUEST_DTYPE and not isinstance(error, OtherRowsError):
                raise
            self.damaged.append(f"{str(error).removeprefix(f'{path}: ')} ({path.name})")
            return
        if not sound or written not in {None, there}:
            self.damaged.append(f"rows are damaged, or some are missing ({path.name})")


def _written(path: Path, field: str) -> int | None:
    """How many rows the process says it has written; None if it was killed, or its word is damaged."""
    try:
        found: int | None = getattr(read_sealed(path, End), field)
    except (OSError, DamagedError):
        return None
    return found


def _turn_cells(rows: Array, sessions: bool) -> Block:
    """Session and turn of each row; null for other loads."""
    none = [None] * len(rows)
    index = rows["index"]
    return {
        "session": session_of(index).tolist() if sessions else none,
        "turn": turn_of(index).tolist() if sessions else none,
        "stopped": ((rows["flags"] & FLAG_STOPPED) > 0).tolist(),
    }


def _block(rows: Array, same: dict[str, Any], shift_ns: int, more: Block) -> Block:
    sent = columns.was_sent(rows)
    found: Block = {name: [value] * len(rows) for name, value in same.items()}
    found |= {name: rows[name].tolist() for name in _PLAIN}
    found["outcome"] = [_NAMES.get(code, str(code)) for code in rows["outcome"].tolist()]
    found["status"] = [status or None for status in rows["status"].tolist()]
    found["cached"] = ((rows["flags"] & FLAG_CACHED) > 0).tolist()
    for name in _INSTANTS:
        happened = np.full(len(rows), True) if name in _ALWAYS else rows[name] >= 0
        found[f"{name}_s"] = seconds(rows[name] + shift_ns, happened)
    always = np.full(len(rows), True)
    for name in ("latency", "lag", "queue_wait", "retry_time"):
        found[f"{name}_s"] = seconds(getattr(columns, name)(rows), always)
    found["service_time_s"] = seconds(columns.service_time(rows), sent)
    found |= more
    return {name: found[name] for name in COLUMNS}

"""Writes the record files of one process's part of a case, inside the asyncio thread.

Rules of this file
  1. A request costs one `pack_into` into a buffer that is already there; the disk is touched on `flush` only.
  2. Nothing here may hurt the load: a full disk is remembered in `error`, the counting and `on_rows` go on.
  3. After a failed write nothing more goes into that file, so that it holds whole rows and at most a torn last one.
  4. A cancelled request's stamps are lost with its coroutine: it counts as one attempt, sent when it came here.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from math import isnan
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from harness.client.clock import Clock, clock
from harness.client.types import Outcome, Request, Response, Send
from harness.measure.files import END_SUFFIX, find, slug, write_atomically
from harness.measure.record import (
    ATTEMPT_ROW,
    FLAG_CACHED,
    KINDS,
    REQUEST_ROW,
    TIMELINE_ROW,
    End,
    Header,
    encode_header,
)

__all__ = ["Recorder", "RowFile", "find", "slug"]

Rows = np.ndarray[Any, np.dtype[Any]]
BUFFER_ROWS = 4096
U16_MAX = 65_535
ROW_BYTES = REQUEST_ROW.size


class RowFile:
    """One append-only file of fixed-width rows behind a buffer; `error` is None until a write fails."""

    def __init__(self, path: Path, header: Header, row: struct.Struct, rows: int = BUFFER_ROWS) -> None:
        self.error: str | None = None
        self.buffer = bytearray(row.size * rows)
        self.used = 0  # bytes
        self._row = row
        self._path = path
        self._fd = -1
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        except OSError as error:
            self._failed(error)
        self._write(encode_header(header))

    def append(self, *fields: Any) -> None:
        """Add a row; writes only when the buffer is full."""
        if self.used == len(self.buffer):
            self.flush()
        self._row.pack_into(self.buffer, self.used, *fields)
        self.used += self._row.size

    def flush(self) -> bytes:
        """Write what is buffered; returns those bytes, written or not."""
        data = bytes(memoryview(self.buffer)[: self.used])
        self.used = 0
        self._write(data)
        return data

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, data: bytes) -> None:
        if self.error is not None:
            return
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        self.error = f"{self._path.name} cannot be written: {error.strerror or error}"


class Recorder:
    """Records every request that passes through its layer, and a timeline row a tick."""

    def __init__(
        self,
        directory: Path,
        *,
        case: str,
        repeat: int,
        process: int,
        t0: float,
        t0_unix_s: float,
        on_rows: Callable[[Rows], None] | None = None,
        flush_s: float = 0.25,
    ) -> None:
        self.cancelled_as = Outcome.cancelled  # what a cancelled request counts as from now on
        self.in_flight = 0  # requests started minus ended
        self.outcomes = [0] * len(Outcome)  # items by outcome
        self._t0 = t0
        self._on_rows = on_rows
        self._flush_s = flush_s
        self._flushed_s = 0.0
        self._now_s = 0.0
        self._error: str | None = None
        self._stem = directory / slug(case, repeat, process)
        self._make_room(directory)

        def file(kind: str, row: struct.Struct) -> RowFile:
            header = Header(kind, case, repeat, process, t0_unix_s, KINDS[kind].itemsize)
            return RowFile(self._path(f".{kind}"), header, row)

        self._requests = file("requests", REQUEST_ROW)
        self._attempts = file("attempts", ATTEMPT_ROW)
        self._timeline = file("timeline", TIMELINE_ROW)

    def _path(self, suffix: str) -> Path:
        return self._stem.with_name(self._stem.name + suffix)

    def _make_room(self, directory: Path) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._path(END_SUFFIX).unlink(missing_ok=True)
        except OSError as error:
            self._error = f"{directory}: {error.strerror or error}"

    @property
    def done(self) -> int:
        """Items whose request ended."""
        return sum(self.outcomes)

    @property
    def ok(self) -> int:
        """Items answered well."""
        return self.outcomes[Outcome.ok]

    @property
    def recorded(self) -> int:
        """Rows made, whether or not the disk took them; the reader compares."""
        return self.done

    @property
    def error(self) -> str | None:
        """The first thing that went wrong with recording, in one line."""
        return self._error or self._requests.error or self._attempts.error or self._timeline.error

    def layer(self, send: Send, user: int) -> Send:
        """The outermost layer of client application `user`; call it in the running loop."""
        now = clock()
        record = self._record

        async def recording(request: Request, /) -> Response:
            self.in_flight += 1
            entered = now()
            try:
                response = await send(request)
            except BaseException:
                self.in_flight -= 1
                record(request, Response(self.cancelled_as, sent=entered, done=now()), user, now)
                raise
            self.in_flight -= 1
            record(request, response, user, now)
            return response

        return recording

    def _record(self, request: Request, response: Response, user: int, now: Clock) -> None:
        """One row per item. The hot path: no helper calls."""
        t0, file, outcome, sent_at = self._t0, self._requests, response.outcome, response.sent
        done_at, first_at, chunks = response.done, response.first_byte, response.chunks
        previous = response.previous
        sent = -1 if isnan(sent_at) else int((sent_at - t0) * 1e9)
        first_sent = int((previous[0].sent - t0) * 1e9) if previous else sent
        first_byte = -1 if isnan(first_at) else int((first_at - t0) * 1e9)
        last_chunk = int((chunks[-1] - t0) * 1e9) if chunks else -1
        done = int(((now() if isnan(done_at) else done_at) - t0) * 1e9)
        attempts = len(previous) + (sent >= 0)
        for item in request.items:
            self.outcomes[outcome] += 1
            if file.used == len(file.buffer):
                self._flush_requests()
            try:
                REQUEST_ROW.pack_into(
                    file.buffer,
                    file.used,
                    item.index,
                    int((item.due - t0) * 1e9),
                    int((item.fired - t0) * 1e9),
                    first_sent,
                    sent,
                    first_byte,
                    last_chunk,
                    done,
                    outcome,
                    FLAG_CACHED if response.from_cache else 0,
                    response.status,
                    attempts,
                    user,
                    len(chunks),
                    item.priority,
                )
            except (struct.error, ValueError, OverflowError) as error:
                self._error = self._error or f"item {item.index} does not fit a record: {error}"
                continue
            file.used += ROW_BYTES
            if previous:
                self._record_previous(item.index, response)

    def _record_previous(self, index: int, response: Response) -> None:
        t0 = self._t0
        for number, a in enumerate(response.previous):
            first_byte = -1 if isnan(a.first_byte) else int((a.first_byte - t0) * 1e9)
            sent, done = int((a.sent - t0) * 1e9), int((a.done - t0) * 1e9)
            self._attempts.append(index, sent, first_byte, done, min(number, U16_MAX), a.status, a.outcome)

    def tick(
        self,
        *,
        t: float,
        in_flight: float,
        limit: float,
        pulled: float,
        done: float,
        loop_lag: float,
        cpu: float,
        rss: float,
    ) -> None:
        """Append a timeline row; `t` (seconds since t0) is also the time that `flush` goes by."""
        self._now_s = t
        self._timeline.append(t, in_flight, limit, pulled, done, loop_lag, cpu, rss)

    def flush(self, force: bool = False) -> None:
        """Write the buffers out if `flush_s` has passed since the last time (by the ticks' clock), or at once."""
        if not force and self._now_s - self._flushed_s < self._flush_s:
            return
        self._flushed_s = self._now_s
        self._flush_requests()
        self._attempts.flush()
        self._timeline.flush()

    def _flush_requests(self) -> None:
        data = self._requests.flush()
        if data and self._on_rows is not None:
            self._on_rows(np.frombuffer(data, dtype=KINDS["requests"]))

    def end(self, end: End) -> None:
        """Flush and close everything, then write `*.end.json`; a write error goes into it if it has no other."""
        self.flush(force=True)
        for file in (self._requests, self._attempts, self._timeline):
            file.close()
        if end.error is None and self.error is not None:
            end = msgspec.structs.replace(end, error=self.error)
        try:
            write_atomically(self._path(END_SUFFIX), msgspec.json.encode(end))
        except OSError as error:
            self._error = self.error or f"{self._stem.name}{END_SUFFIX}: {error.strerror or error}"

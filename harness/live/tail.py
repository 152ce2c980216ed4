"""Follows the record files of a trial while its processes write them.

Rules of this file
  1. It only reads, at most `BLOCK` bytes at a time, and each byte once.
  2. It shows the records that are there. Whether the files are whole is judged at the end, from the files.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.measure.record import segments
from harness.measure.record.files import RecordPaths, paths, slug
from harness.measure.record.frames import walk
from harness.measure.record.rows_file import (
    HEADER_BYTES_MAX,
    KINDS,
    REQUEST_DTYPE,
    TIMELINE_DTYPE,
    TOKEN_DTYPE,
    decode_header,
)

BLOCK = 4 * 1024 * 1024
"""More than the largest frame, so that each reading makes progress."""
Array = np.ndarray[Any, np.dtype[Any]]


class FileTail:
    """The rows of one file, in the order in which they are written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Closed segments that were read to their end.
        self._segments = 0
        # Where the next frame of the current one begins; None until the header is there.
        self._at: int | None = None
        self._dtype: np.dtype[Any] | None = None
        self.t0_unix_s = 0.0

    def read(self) -> Iterator[Array]:
        """The rows that came since the last call. Damaged frames are left out."""
        while (rows := self._block()) is not None:
            if len(rows):
                yield rows

    def _block(self) -> Array | None:
        """The rows of the next block, also none at the end of a closed segment; None at the end of what can be read."""
        number = self._segments + 1
        is_closed = segments.is_closed(self._path, number)
        try:
            body = self._bytes_of(segments.closed_name(self._path, number) if is_closed else self._path)
        except (OSError, ValueError, KeyError, EOFError, zlib.error):
            return None
        if not is_closed and segments.is_closed(self._path, number):
            # These bytes may be of the next one.
            return self._block()
        found = self._rows_in(body)
        if found is not None or not is_closed:
            return found
        self._segments, self._at = self._segments + 1, None
        return np.empty(0, self._dtype)

    def _bytes_of(self, part: Path) -> memoryview:
        with segments.opened(part) as file:
            if self._at is None:
                header, self._at = decode_header(file.read(HEADER_BYTES_MAX), part)
                self._dtype, self.t0_unix_s = KINDS[header.kind], header.t0_unix_s
            file.seek(self._at)
            return memoryview(file.read(BLOCK))

    def _rows_in(self, body: memoryview) -> Array | None:
        """The rows of the frames in these bytes, which follow those that were read."""
        assert self._at is not None  # noqa: S101 - the header was read
        dtype = self._dtype
        assert dtype is not None  # noqa: S101 - it came with the header
        end, parts = 0, []
        for found in walk(lambda at, size: body[at : at + size], len(body), dtype.itemsize):
            end = found.end
            if found.rows is not None:
                parts.append(np.frombuffer(found.rows, dtype))
        if not end:
            return None
        self._at += end
        return np.concatenate(parts) if parts else np.empty(0, dtype)


class Fresh(NamedTuple):
    """The rows of one process since the last reading. Instants are since the load's zero of the first process."""

    process: int
    rows: Array
    output: Array  # output tokens of each row; -1: not known
    ticks: Array
    shift_s: float  # to be added to the instants


_NO_ROWS, _NO_TICKS, _NO_TOKENS = (np.empty(0, dtype) for dtype in (REQUEST_DTYPE, TIMELINE_DTYPE, TOKEN_DTYPE))
_NO_OUTPUT = np.empty(0, np.int64)


class _ProcessTail:
    """The files of one process of a trial."""

    def __init__(self, number: int, of: RecordPaths) -> None:
        self._number = number
        self._requests, self._timeline, self._tokens = map(FileTail, (of.requests, of.timeline, of.tokens))
        # Rows of requests so far, and tokens whose row was not read yet: they are written before it.
        self._place = 0
        self._ahead: Array = _NO_TOKENS

    def read(self, zero_s: float | None) -> Iterator[Fresh]:
        """New rows, block by block. `zero_s` is the zero of the first process; None: this is the first one."""
        for rows in self._requests.read():
            yield Fresh(self._number, rows, self._output_of(rows), _NO_TICKS, self._shift_s(zero_s))
        for ticks in self._timeline.read():
            yield Fresh(self._number, _NO_ROWS, _NO_OUTPUT, ticks, self._shift_s(zero_s))

    @property
    def zero_s(self) -> float | None:
        """The wall clock at this process's zero; None until its header is there."""
        return self._requests.t0_unix_s or None

    def _shift_s(self, zero_s: float | None) -> float:
        return 0.0 if zero_s is None else self._requests.t0_unix_s - zero_s

    def _output_of(self, rows: Array) -> Array:
        tokens = np.concatenate([self._ahead, *self._tokens.read()])
        found = np.full(len(rows), -1, np.int64)
        places = tokens["row"].astype(np.int64) - self._place
        mine = (places >= 0) & (places < len(rows))
        found[places[mine]] = tokens["output"][mine]
        self._ahead = tokens[places >= len(rows)]
        self._place += len(rows)
        return found


class TrialTail:
    """All processes of one repeat of a case."""

    def __init__(self, records: Path, case: str, repeat: int) -> None:
        self._records = records
        self._case = case
        self._repeat = repeat
        stem = slug(case, repeat, 0).removesuffix("p0")
        self._pattern = re.compile(re.escape(stem) + r"p(\d+)\.requests")
        self._processes: dict[int, _ProcessTail] = {}
        self._zero_s: float | None = None

    def read(self) -> Iterator[Fresh]:
        """New rows, process by process, block by block."""
        self._find()
        for _, process in sorted(self._processes.items()):
            yield from process.read(self._zero_s)
            self._zero_s = process.zero_s if self._zero_s is None else self._zero_s

    def _find(self) -> None:
        try:
            names = [path.name for path in self._records.iterdir()]
        except OSError:
            return
        for found in filter(None, map(self._pattern.fullmatch, names)):
            number = int(found[1])
            if number not in self._processes:
                self._processes[number] = _ProcessTail(number, paths(self._records, self._case, self._repeat, number))

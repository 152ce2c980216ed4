"""Follows the record files of a trial while its processes write them.

Rules of this file
  1. It only reads, at most `BLOCK` bytes at a time, and each byte once.
  2. It shows what is there. Whether the files are whole is judged at the end, from the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.measure.record.files import paths, read_header, slug
from harness.measure.record.frames import walk
from harness.measure.record.rows_file import KINDS, REQUEST_DTYPE, TIMELINE_DTYPE

BLOCK = 4 * 1024 * 1024
"""More than the largest frame, so that each reading makes progress."""
Array = np.ndarray[Any, np.dtype[Any]]


class FileTail:
    """The rows of one file, in the order in which they are written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Where the next frame begins; None until the header is there.
        self._at: int | None = None
        self._dtype: np.dtype[Any] | None = None
        self.t0_unix_s = 0.0

    def read(self) -> Iterator[Array]:
        """The rows that came since the last call. Damaged frames are left out."""
        while (rows := self._block()) is not None:
            if len(rows):
                yield rows

    def _block(self) -> Array | None:
        """The rows of the next block; None at the end of what can be read."""
        try:
            if self._at is None:
                header, self._at = read_header(self._path)
                self._dtype, self.t0_unix_s = KINDS[header.kind], header.t0_unix_s
            with self._path.open("rb") as file:
                file.seek(self._at)
                body = memoryview(file.read(BLOCK))
        except (OSError, ValueError, KeyError):
            return None
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
    """What one process has written since the last reading. Instants are since the load's zero of the first process."""

    process: int
    rows: Array
    ticks: Array
    shift_s: float  # to be added to the instants


class TrialTail:
    """All processes of one repeat of a case."""

    def __init__(self, records: Path, case: str, repeat: int) -> None:
        self._records = records
        self._case = case
        self._repeat = repeat
        stem = slug(case, repeat, 0).removesuffix("p0")
        self._pattern = re.compile(re.escape(stem) + r"p(\d+)\.requests")
        self._files: dict[int, tuple[FileTail, FileTail]] = {}
        self._zero_s: float | None = None

    def read(self) -> Iterator[Fresh]:
        """What is new, process by process, block by block."""
        self._find()
        for process, (requests, timeline) in sorted(self._files.items()):
            for kind, file in ((REQUEST_DTYPE, requests), (TIMELINE_DTYPE, timeline)):
                for rows in file.read():
                    self._zero_s = file.t0_unix_s if self._zero_s is None else self._zero_s
                    shift_s = file.t0_unix_s - self._zero_s
                    if kind is REQUEST_DTYPE:
                        yield Fresh(process, rows, np.empty(0, TIMELINE_DTYPE), shift_s)
                    else:
                        yield Fresh(process, np.empty(0, REQUEST_DTYPE), rows, shift_s)

    def _find(self) -> None:
        try:
            names = sorted(path.name for path in self._records.iterdir())
        except OSError:
            return
        for found in filter(None, map(self._pattern.fullmatch, names)):
            number = int(found[1])
            if number not in self._files:
                of = paths(self._records, self._case, self._repeat, number)
                self._files[number] = FileTail(of.requests), FileTail(of.timeline)

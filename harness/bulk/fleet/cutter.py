"""Cuts the input into ranges at line ends, a few ahead of the workers, and reads it once.

Rules of this file
  1. Memory: one piece of the file. Of a range only offsets, numbers of lines and a checksum are kept.
  2. What cannot be cut is one range: packed data, a table, another encoding, a folder.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from typing import Protocol

from harness.bulk.leases.range import WHOLE, Range
from harness.client.errors import UsageError
from harness.load.lines import READ_BYTES
from harness.load.rows import RowReader

RANGE_BYTES, RANGE_LINES = 64 * 1024 * 1024, 10_000
# So many ranges for each worker, so that the last ones do not leave the others idle.
RANGES_A_WORKER = 8
LEAST_LINES = 200
_GUESS_BYTES = 1024 * 1024


def lines_of_range(paths: Sequence[str], workers: int) -> int:
    """Lines of a range: fewer than usual for an input that is small for so many workers."""
    with open(paths[0], "rb") as file:
        head = file.read(_GUESS_BYTES)
    size = sum(os.path.getsize(path) for path in paths)
    lines = max(1, head.count(b"\n")) * max(1.0, size / max(1, len(head)))
    return max(LEAST_LINES, min(RANGE_LINES, int(lines / (workers * RANGES_A_WORKER))))


class Cuts(Protocol):
    """Gives the ranges of an input, in order."""

    def next(self) -> Range | None:
        """The next range; None at the end."""

    def lines_expected(self, size: int) -> float | None:
        """Lines of an input of so many bytes, as far as is known."""
        ...


class Cutter:
    """The ranges of one file, in order. Use it in one thread at a time; raises UsageError if it cannot be read."""

    def __init__(self, path: str, reader: RowReader, whole: bool, lines_max: int, after: Range | None = None) -> None:
        self._path = path
        self._lines_max = lines_max
        self._number = 0 if after is None else after.number + 1
        self._offset = 0 if after is None else after.end
        self._line = 1 if after is None else after.line + after.lines
        self._total_crc = 0 if after is None else after.total_crc
        self._reader = reader
        self._ended = after is not None and after.is_whole
        # For the rows of CSV, which may hold line breaks.
        self._in_quotes = False
        self._whole = whole

    def lines_expected(self, size: int) -> float | None:
        """Lines of the file, from those read so far; None if nothing is known of them."""
        if self._whole or not self._offset:
            return self._reader.count
        return (self._line - 1) * max(1.0, size / self._offset)

    def next(self) -> Range | None:
        """The next range; None at the end of the file."""
        if self._ended:
            return None
        if self._whole:
            self._ended = True
            return Range(self._number, 0, WHOLE)
        try:
            found = self._cut()
        except OSError as error:
            raise UsageError(f"{self._path}: {error.strerror or error}") from error
        if found is None:
            self._ended = True
        return found

    def _cut(self) -> Range | None:
        begin, line, lines, crc, total = self._offset, self._line, 0, 0, self._total_crc
        for rows, piece in self._pieces():
            lines += rows
            self._offset += len(piece)
            crc, total = zlib.crc32(piece, crc), zlib.crc32(piece, total)
        if self._offset == begin:
            return None
        self._number, self._line, self._total_crc = self._number + 1, line + lines, total
        return Range(self._number - 1, begin, self._offset, line, lines, crc, total_crc=total)

    def _pieces(self) -> Iterator[tuple[int, memoryview]]:
        """Pieces of one range, with the number of rows that end in each; a last row without line break counts."""
        left, size, unfinished = self._lines_max, 0, False
        with open(self._path, "rb") as file:
            file.seek(self._offset)
            while left > 0 and (size < RANGE_BYTES or unfinished) and (piece := file.read(READ_BYTES)):
                end, rows = self._end(piece, left if size < RANGE_BYTES else 1)
                unfinished = end == len(piece) and (self._in_quotes or not piece.endswith(b"\n"))
                size, left = size + end, left - rows
                yield rows, memoryview(piece)[:end]
        if unfinished:
            self._in_quotes = False
            yield 1, memoryview(b"")

    def _end(self, piece: bytes, rows_max: int) -> tuple[int, int]:
        """Where the last of at most so many rows ends in a piece, or its end; and the number of rows up to there."""
        if not self._reader.has_header:
            rows = piece.count(b"\n")
            return (len(piece), rows) if rows < rows_max else (_nth(piece, rows_max), rows_max)
        at = rows = 0
        while rows < rows_max and (found := piece.find(b"\n", at)) >= 0:
            self._in_quotes ^= piece.count(b'"', at, found) % 2 == 1
            at, rows = found + 1, rows + (not self._in_quotes)
        if rows < rows_max:
            self._in_quotes ^= piece.count(b'"', at) % 2 == 1
            at = len(piece)
        return at, rows


class GroupsCutter:
    """The ranges of a Parquet file: groups of rows, which a worker can read alone."""

    def __init__(self, groups: Sequence[int], lines_max: int, after: Range | None = None) -> None:
        self._groups = groups
        self._lines_max = lines_max
        self._number = 0 if after is None else after.number + 1
        self._group = 0 if after is None else after.end
        self._line = 1 + sum(groups[: self._group])

    def next(self) -> Range | None:
        """As many groups as have about the lines of a range, and one at least."""
        begin, lines = self._group, 0
        while self._group < len(self._groups) and (lines == 0 or lines + self._groups[self._group] <= self._lines_max):
            lines += self._groups[self._group]
            self._group += 1
        if begin == self._group:
            return None
        found = Range(self._number, begin, self._group, self._line, lines, file_line=self._line, file_lines=lines)
        self._number, self._line = self._number + 1, self._line + lines
        return found

    def lines_expected(self, size: int) -> float | None:
        """Lines of the file."""
        return sum(self._groups)


def cutter_of(path: str, reader: RowReader, can_be_cut: bool, lines_max: int, after: Range | None = None) -> Cuts:
    """What cuts a file of this form."""
    if len(reader.groups) > 1:
        return GroupsCutter(reader.groups, lines_max, after)
    return Cutter(path, reader, not can_be_cut, lines_max, after)


def _nth(piece: bytes, number: int) -> int:
    """The byte after so many line breaks."""
    lines = piece.split(b"\n", number)
    return len(piece) - len(lines[-1])

"""Turns the bytes of an input into blocks of lines, from its start or from a mark in it.

A mark is a place where a line begins, with the checksum of all bytes before it. The earlier bytes are checked against
the mark, so a different input, or one edited in place, is detected.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.bulk.journal import Mark
from harness.client.errors import UsageError
from harness.load.lines import Lines, LongLine, Splitter, Unpack


@dataclass(frozen=True)
class LineBlock:
    """Lines that were read together."""

    # Start of the first line.
    mark: Mark
    lines: list[bytes | LongLine]
    # Start of the line after the last one.
    end: Mark


class BlockReader:
    """Turns chunks of the file into blocks; up to the mark it only computes the checksum."""

    def __init__(
        self,
        mark: Mark,
        read: Mark | None = None,
        rows: Callable[[int], Splitter] = Lines,
        encoding: str | None = None,
        plain: bool = False,
    ) -> None:
        self._mark = mark
        self._read = read or mark
        self.checked = self._read.offset <= mark.offset
        self._unpack = Unpack(encoding)
        if plain:
            # It begins in the middle of a file, whose own beginning was checked.
            self._unpack.plainly()
        self._rows = rows
        self._lines = rows(0)
        # Position and checksum in the unpacked bytes.
        self._at = self._crc = 0
        self.skipping = mark.offset > 0
        self.end = Mark()

    def begin_at(self, mark: Mark) -> None:
        """Begin at the mark that the file was positioned at."""
        self._at, self._crc, self.skipping, self.end = mark.offset, mark.crc, False, mark
        self._lines = self._rows(mark.offset)
        # A file was checked by `InputSource.check`.
        self.checked = True
        self._unpack.plainly()

    def feed(self, chunk: bytes) -> Iterator[LineBlock]:
        """The blocks that these bytes complete."""
        for piece in self._unpack.feed(chunk):
            yield from self._piece(piece)

    def close(self) -> Iterator[LineBlock]:
        """The remaining block at the end of the input."""
        yield from self._piece(self._unpack.close())
        if self.skipping or not self.checked:
            line = self._mark.line if self.skipping else self._read.line
            raise UsageError(f"the input ends before line {line}, up to which it was read in the session before")
        mark = self.end
        if last := self._lines.close():
            self.end = Mark(mark.line + 1, self._at, self._crc)
            yield LineBlock(mark, last, self.end)

    def _piece(self, piece: bytes) -> Iterator[LineBlock]:
        if self.skipping:
            piece = self._skip(piece)
        if not piece:
            return
        if not self.checked and self._at + len(piece) >= self._read.offset:
            self._check(zlib.crc32(memoryview(piece)[: self._read.offset - self._at], self._crc), self._read)
            self.checked = True
        lines = self._lines.feed(piece)
        ended = len(piece) - self._lines.unfinished if lines else 0
        begin = self.end
        if ended:
            crc = zlib.crc32(memoryview(piece)[:ended], self._crc)
            self._crc = zlib.crc32(memoryview(piece)[ended:], crc)
        else:
            self._crc = zlib.crc32(piece, self._crc)
        if lines:
            self.end = Mark(begin.line + len(lines), self._at + ended, crc)
            self._at += len(piece)
            yield LineBlock(begin, lines, self.end)
        else:
            self._at += len(piece)

    def _skip(self, piece: bytes) -> bytes:
        before = piece[: self._mark.offset - self._at]
        self._crc = zlib.crc32(before, self._crc)
        self._at += len(before)
        if self._at < self._mark.offset:
            return b""
        self._check(self._crc, self._mark)
        self.skipping, self.end = False, self._mark
        self._lines = self._rows(self._mark.offset)
        return piece[len(before) :]

    @staticmethod
    def _check(crc: int, mark: Mark) -> None:
        if crc != mark.crc:
            raise UsageError(f"the first {mark.line - 1} lines of the input are not those of the run it resumes")

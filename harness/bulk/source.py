"""The input, block by block: a file or standard input, packed or not, from its start or from a mark in it.

Rules of this file
  1. The loop never waits for a disk or a pipe: files are read and unpacked in a thread, a pipe when it is readable.
  2. A mark is a place where a line begins, with the checksum of all bytes before it. A resumed run checks the earlier
     bytes against the last mark: a file first of all (`check`), a pipe before a line of it is given out. So a
     different input, or one edited in place, is detected.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import sys
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.bulk.journal import Mark
from harness.client.errors import UsageError
from harness.load import folder
from harness.load.lines import READ_BYTES, Lines, LongLine, Splitter, Unpack, is_packed
from harness.load.rows import RowReader

_SAMPLES, _SAMPLE_BYTES = 64, 4096


@dataclass(frozen=True)
class LineBlock:
    """Lines that were read together."""

    # Start of the first line.
    mark: Mark
    lines: list[bytes | LongLine]
    # Start of the line after the last one.
    end: Mark


class InputSource:
    """`-` is standard input; anything else a path. Use it once."""

    def __init__(self, path: str, rows: RowReader | None = None) -> None:
        self.path = path
        self._rows = rows or RowReader(path)
        self._encoding = self._rows.settings.encoding
        # Checksum of a folder.
        self._folder = ""
        # Bytes of a pipe that were read to find its first row.
        self._ahead: list[bytes] = []
        self._fd = -1
        # None for a pipe.
        self._size: int | None = None
        self._changed_ns = 0
        # Bytes read, as stored in the file.
        self._read = 0
        # Start of the next block.
        self._end = Mark()
        try:
            self._fd = _standard_input() if path == "-" else os.open(path, os.O_RDONLY)
            info = os.fstat(self._fd)
            self._blocking = os.get_blocking(self._fd)
            if self._rows.is_folder:
                self._size, self._changed_ns, self._folder = folder.fingerprint(path)
            elif stat.S_ISREG(info.st_mode):
                self._size, self._changed_ns = info.st_size, info.st_mtime_ns
                # Another encoding is refused before any file is changed.
                if not self._converted:
                    next(Unpack(self._encoding).feed(os.pread(self._fd, READ_BYTES, 0)), b"")
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror or error}") from error
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error

    @property
    def _converted(self) -> bool:
        """Whether the rows are made from the file, and are not its own bytes."""
        return self._rows.is_converted

    @property
    def empty(self) -> bool:
        """Whether the file has no bytes; False for a pipe."""
        return self._size == 0

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            # An event loop that watches a pipe changes its mode for all processes that share it.
            os.set_blocking(self._fd, self._blocking)
            os.close(self._fd)
            self._fd = -1

    def fingerprint(self) -> dict[str, Any]:
        """Identifies this input without reading all of it: its size and 64 samples. A pipe has none."""
        if self._size is None:
            return {"kind": "stream"}
        what = {"bytes": self._size, "sample": self._sample(self._size), "ended": self._ended()}
        return {"kind": "file", **what, "changed_ns": self._changed_ns}

    def _sample(self, size: int) -> str:
        """Checksum of samples of the first `size` bytes."""
        if self._folder:
            return self._folder
        digest = hashlib.sha256()
        for number in range(_SAMPLES + 1):
            start = max(0, size - _SAMPLE_BYTES) * number // _SAMPLES
            digest.update(os.pread(self._fd, min(_SAMPLE_BYTES, size - start), start))
        return digest.hexdigest()

    def _ended(self) -> bool:
        """Whether appended data begins a new line. In packed data it does: an unfinished line is refused."""
        if self._folder:
            return False
        return not self._size or is_packed(os.pread(self._fd, 4, 0)) or os.pread(self._fd, 1, self._size - 1) == b"\n"

    def same(self, old: dict[str, Any]) -> bool:
        """The input of that fingerprint, or that input with lines added at its end."""
        if self._size is None or old["kind"] == "stream":
            return self._size is None and old["kind"] == "stream"
        size = int(old["bytes"])
        grown = size < self._size and old["ended"]
        return (grown or size == self._size) and self._sample(size) == old["sample"]

    def check(self, read: Mark) -> None:
        """Read a file once more up to a mark; raises UsageError if its bytes have changed. A pipe is checked later."""
        if self._size is None or not read.offset:
            return
        reader = self._reader(read)
        try:
            for chunk in self._chunks():
                for _ in reader.feed(chunk):
                    break
                if not reader.skipping:
                    break
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror or error}") from error
        for _ in reader.close() if reader.skipping else ():
            break

    def lines_expected(self) -> float | None:
        """Estimated total number of lines, from the lines read so far; None for a pipe."""
        if self._size is None or not self._read or self._end.line == 1:
            return self._rows.count
        return (self._end.line - 1) * max(1.0, self._size / self._read)

    # Reading.

    @property
    def waits(self) -> bool:
        """Whether reading may wait for the writer of a pipe."""
        return self._size is None

    async def blocks(self, mark: Mark, read: Mark | None = None) -> AsyncGenerator[LineBlock, None]:
        """Blocks from a mark to the end; raises UsageError for damaged data or where the marks do not fit.

        Lines of a pipe are given out only after a check up to `read`.
        """
        reader = self._reader(mark, read or mark)
        if self._size is not None:
            blocks = self._of_file(reader, mark)
            while (block := await asyncio.to_thread(next, blocks, None)) is not None:
                self._end = reader.end
                yield block
            return
        # At most a window of lines lies between the two marks.
        held: list[LineBlock] = []
        while chunk := await self._next_chunk():
            self._read += len(chunk)
            for block in reader.feed(chunk):
                self._end = reader.end
                held.append(block)
                if reader.checked:
                    for ready in held:
                        yield ready
                    held.clear()
        for block in [*held, *reader.close()]:
            yield block

    def _of_file(self, reader: _Reader, mark: Mark) -> Iterator[LineBlock]:
        try:
            own = not self._converted and self._encoding is None
            if own and mark.offset and not is_packed(os.pread(self._fd, 4, 0)):
                reader.begin_at(mark)
                self._read = mark.offset
            for chunk in self._chunks(self._read):
                if not self._converted:
                    self._read += len(chunk)
                yield from reader.feed(chunk)
            yield from reader.close()
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror or error}") from error

    def _reader(self, mark: Mark, read: Mark | None = None) -> _Reader:
        return _Reader(mark, read, self._rows.splitter, self._encoding if not self._converted else None)

    def _chunks(self, at: int = 0) -> Iterator[bytes]:
        """The bytes of a file from this position; of a form that is converted all its rows as JSON."""
        if self._converted:
            yield from self._rows.pieces()
            return
        os.lseek(self._fd, at, os.SEEK_SET)
        while chunk := os.read(self._fd, READ_BYTES):
            yield chunk

    async def first_row(self) -> bytes | LongLine:
        """The first row of a pipe that is not blank; it is read again by `blocks`. Empty if there is none."""
        unpack, splitter = Unpack(self._encoding), self._rows.splitter()
        while chunk := await self._from_pipe():
            self._ahead.append(chunk)
            for piece in unpack.feed(chunk):
                for row in splitter.feed(piece):
                    if isinstance(row, LongLine) or row.strip():
                        return row
        return next(iter((*splitter.feed(unpack.close()), *splitter.close())), b"")

    async def _next_chunk(self) -> bytes:
        return self._ahead.pop(0) if self._ahead else await self._from_pipe()

    async def _from_pipe(self) -> bytes:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        try:
            loop.add_reader(self._fd, _once, ready)
        # A device that is always ready, such as /dev/null.
        except PermissionError:
            return await asyncio.to_thread(os.read, self._fd, READ_BYTES)
        try:
            await ready
        finally:
            loop.remove_reader(self._fd)
        try:
            return os.read(self._fd, READ_BYTES)
        # Spurious wake-up.
        except BlockingIOError:
            return await self._from_pipe()


def _standard_input() -> int:
    """A separate descriptor. A terminal is opened again, because standard error shares its state."""
    if sys.stdin is None:
        raise UsageError("-: standard input is closed")
    fd = sys.stdin.fileno()
    return os.open(os.ttyname(fd), os.O_RDONLY) if os.isatty(fd) else os.dup(fd)


def _once(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


class _Reader:
    """Turns chunks of the file into blocks; up to the mark it only computes the checksum."""

    def __init__(
        self,
        mark: Mark,
        read: Mark | None = None,
        rows: Callable[[int], Splitter] = Lines,
        encoding: str | None = None,
    ) -> None:
        self._mark = mark
        self._read = read or mark
        self.checked = self._read.offset <= mark.offset
        self._unpack = Unpack(encoding)
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
        # A file was checked by `Source.check`.
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

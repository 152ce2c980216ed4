"""The input, block by block: a file or standard input, packed or not, from its start or from a mark in it.

Rules of this file
  1. The loop never waits for a disk or a pipe: files are read and unpacked in a thread, a pipe when it is readable.
  2. A resumed run checks the bytes that were read before: a file first of all (`check`), a pipe before a line of it is
     given out.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import sys
from collections.abc import AsyncGenerator, Iterator
from typing import Any

from harness.bulk.block_reader import BlockReader, LineBlock
from harness.bulk.journal import Mark
from harness.bulk.leases.range import Range
from harness.client.errors import UsageError
from harness.load import folder
from harness.load.lines import READ_BYTES, LongLine, Splitter, Unpack, is_packed
from harness.load.rows import FilePart, RowReader

_SAMPLES, _SAMPLE_BYTES = 64, 4096
# Opening a named pipe does not wait for its writer: a stop would not end that.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
# So many bytes show the encoding and the packing.
_HEAD_BYTES = 4


class InputSource:
    """`-` is standard input; anything else a path. Use it once.

    Of a `part`, offsets and numbers of lines count from its own beginning.
    """

    def __init__(self, path: str, rows: RowReader | None = None, part: Range | None = None) -> None:
        # In messages.
        self.path = path
        self._rows = rows or RowReader(path, once=True)
        # Several inputs, or the one of them that the part is in.
        self._files = self._rows.files if part is None else self._rows.files[part.file : part.file + 1]
        self._part = None if part is None or part.is_whole else part
        # Where the first byte is in the file.
        self._base = 0 if self._part is None or self._rows.is_converted else self._part.begin
        self._encoding = self._rows.settings.encoding
        # Checksum of several files.
        self._folder = ""
        # Bytes of a pipe that were read before `blocks`, which reads them again.
        self._ahead: list[bytes] = []
        self._fd = -1
        # None for a pipe.
        self._size: int | None = None
        self._changed_ns = 0
        # Bytes read, as stored in the file.
        self._read = 0
        # Start of the next block.
        self._end = Mark()
        # Rows, where that is known before they are read.
        self._expected: int | None = None
        try:
            self._fd = _standard_input() if path == "-" else os.open(self._rows.path, _FLAGS)
            info = os.fstat(self._fd)
            self._blocking = os.get_blocking(self._fd)
            if self._files:
                self._size, self._changed_ns, self._folder = folder.fingerprint(self._files)
            elif stat.S_ISREG(info.st_mode):
                self._size, self._changed_ns = info.st_size, info.st_mtime_ns
                # Another encoding is refused before any file is changed.
                if not self._converted:
                    next(Unpack(self._encoding).feed(os.pread(self._fd, READ_BYTES, 0)), b"")
                if self._part is not None and not self._converted:
                    self._take_part(self._part, info.st_size)
            if part is None:
                self._expected = self._rows.expected()
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror or error}") from error
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error

    def _take_part(self, part: Range, size: int) -> None:
        if size < part.end:
            raise UsageError(
                f"has {size} bytes where {part.end} were found: it has changed, or it is another file here"
            )
        self._size, self._changed_ns = part.end - part.begin, 0

    def _bytes(self, count: int, at: int) -> bytes:
        return os.pread(self._fd, count, self._base + at)

    @property
    def _converted(self) -> bool:
        """Whether the rows are made from the file, and are not its own bytes."""
        return self._rows.is_converted

    @property
    def empty(self) -> bool:
        """Whether the file has no bytes; False for a pipe."""
        return self._size == 0

    @property
    def size(self) -> int:
        """Bytes of the input; 0 for a pipe."""
        return self._size or 0

    @property
    def can_be_cut(self) -> bool:
        """Whether lines of the input are bytes of the file, so that ranges of them can be read apart."""
        return self._size is not None and not (
            self._converted or self._encoding is not None or is_packed(os.pread(self._fd, 4, 0))
        )

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
            digest.update(self._bytes(min(_SAMPLE_BYTES, size - start), start))
        return digest.hexdigest()

    def _ended(self) -> bool:
        """Whether appended data begins a new line. In packed data it does: an unfinished line is refused."""
        if self._folder:
            return False
        return not self._size or is_packed(os.pread(self._fd, 4, 0)) or self._bytes(1, self._size - 1) == b"\n"

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
            return self._expected
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

    def _of_file(self, reader: BlockReader, mark: Mark) -> Iterator[LineBlock]:
        try:
            own = not self._converted and self._encoding is None
            if own and (mark.offset or self._base) and not is_packed(os.pread(self._fd, 4, 0)):
                reader.begin_at(mark)
                self._read = mark.offset
            for chunk in self._chunks(self._read):
                if not self._converted:
                    self._read += len(chunk)
                yield from reader.feed(chunk)
            yield from reader.close()
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror or error}") from error

    def _reader(self, mark: Mark, read: Mark | None = None) -> BlockReader:
        encoding = self._encoding if not self._converted else None
        return BlockReader(mark, read, self._splitter, encoding, plain=self._base > 0)

    def _splitter(self, at: int) -> Splitter:
        return self._rows.splitter(self._base + at)

    def _chunks(self, at: int = 0) -> Iterator[bytes]:
        """The bytes of a file from this position; of a form that is converted all its rows as JSON."""
        if self._converted:
            part = self._part
            limits = None if part is None else FilePart(part.begin, part.end, part.file_line)
            if self._files:
                yield from folder.pieces(self._files, self._rows.settings, limits, past_breaks=True)
            else:
                yield from self._rows.pieces() if limits is None else self._rows.part_pieces(limits)
            return
        os.lseek(self._fd, self._base + at, os.SEEK_SET)
        while chunk := os.read(self._fd, READ_BYTES if self._part is None else self._left()):
            yield chunk

    def _left(self) -> int:
        """Bytes to read next within the part."""
        assert self._part is not None  # noqa: S101 - the caller checked it
        return min(READ_BYTES, max(0, self._part.end - os.lseek(self._fd, 0, os.SEEK_CUR)))

    async def begin(self) -> None:
        """Wait for the first bytes of a pipe and the names of its columns. Raises UsageError if they are not usable."""
        head = b""
        while len(head) < _HEAD_BYTES and (chunk := await self._from_pipe()):
            head += chunk
        self._ahead.append(head)
        try:
            next(Unpack(self._encoding).feed(head), b"")
        except UsageError as error:
            raise UsageError(f"{self.path}: {error}") from error
        if self._rows.has_header:
            self._rows.read_header(await self._first_row())

    async def _first_row(self) -> bytes | LongLine:
        """The first row of a pipe that is not blank, after `begin`; empty if there is none."""
        unpack, splitter = Unpack(self._encoding), self._rows.splitter()
        chunk = self._ahead[0]
        while chunk:
            for piece in unpack.feed(chunk):
                for row in splitter.feed(piece):
                    if isinstance(row, LongLine) or row.strip():
                        return row
            chunk = await self._from_pipe()
            self._ahead.append(chunk)
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

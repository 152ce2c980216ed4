"""Writes one record file while a load runs: frames of rows, each written at once."""

from __future__ import annotations

import os
from pathlib import Path

from harness.measure.record import segments
from harness.measure.record.frames import fill_head
from harness.measure.record.rows_file import Header, encode_header


class RowsWriter:
    """An append-only file of frames. It keeps its first error and drops later frames.

    A file of `segments.SEGMENT_BYTES` is closed and compressed beside the load, and a new one is begun under its name.
    """

    def __init__(self, path: Path, header: Header) -> None:
        segments.discard(path)
        self._path = path
        self._header = memoryview(encode_header(header))
        self._fd = _created(path)
        self._row_bytes = header.row_bytes
        self._frames = 0
        # Of the open file, with its header.
        self._bytes = len(self._header)
        self._closed = 0
        self._close_at = segments.SEGMENT_BYTES
        self._packer = segments.Packer()
        self.rows = 0  # rows written to the file
        self.error: str | None = None
        self._write(self._header)

    def append(self, buffer: bytearray, end: int) -> int:
        """Write a frame: space for its head, then rows up to `end`. Returns the number of rows, or 0 on failure."""
        fill_head(buffer, self._row_bytes, end, self._frames)
        with memoryview(buffer) as view:
            if not self._write(view[:end]):
                return 0
        rows = end // self._row_bytes - 1
        self._frames += 1
        self.rows += rows
        self._bytes += end
        if self._bytes >= self._close_at:
            self._begin_next()
        return rows

    def _begin_next(self) -> None:
        """Set the file aside and begin the next one. If that fails, the file goes on growing."""
        begun, closed = (
            self._path.with_name(f"{self._path.name}.next"),
            segments.closed_name(self._path, self._closed + 1),
        )
        # Should this fail, it is tried again much later.
        self._close_at *= 2
        fd = -1
        try:
            fd = _created(begun)
            _write_all(fd, self._header)
            # At every instant a file has the name that readers look for.
            os.link(self._path, closed)
            os.replace(begun, self._path)
        except OSError:
            if fd >= 0:
                os.close(fd)
            for stray in (begun, closed):
                stray.unlink(missing_ok=True)
            return
        os.close(self._fd)
        self._fd, self._frames, self._bytes = fd, 0, len(self._header)
        self._closed, self._close_at = self._closed + 1, segments.SEGMENT_BYTES
        self._packer.add(closed)

    def _write(self, data: memoryview) -> bool:
        """Write all data. Returns whether it succeeded."""
        if self.error is None:
            try:
                _write_all(self._fd, data)
            except OSError as error:
                self.error = f"could not write records: {error.strerror or error}"
        return self.error is None

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._packer.start()


def _created(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o644)


def _write_all(fd: int, data: memoryview) -> None:
    """Write all data: one call may write a part of it. Raises OSError."""
    while len(data):
        if not (written := os.write(fd, data)):
            raise OSError("nothing was written")
        data = data[written:]


class LateRowsWriter:
    """The same, for a file that is created with its first frame: without rows there is no file."""

    def __init__(self, path: Path, header: Header) -> None:
        self._path = path
        self._header = header
        self._writer: RowsWriter | None = None
        self._open_error: str | None = None

    @property
    def rows(self) -> int:
        """Rows written to the file."""
        return 0 if self._writer is None else self._writer.rows

    @property
    def error(self) -> str | None:
        """The first error of creating or writing the file."""
        return self._open_error if self._writer is None else self._writer.error

    def append(self, buffer: bytearray, end: int) -> int:
        """Write a frame, as `RowsWriter` does."""
        if self._writer is None and self._open_error is None:
            try:
                self._writer = RowsWriter(self._path, self._header)
            except OSError as error:
                self._open_error = f"could not create {self._path.name}: {error.strerror or error}"
        return 0 if self._writer is None else self._writer.append(buffer, end)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

"""Writes one record file while a load runs: frames of rows, each written at once."""

from __future__ import annotations

import os
from pathlib import Path

from harness.measure.record.frames import fill_head
from harness.measure.record.rows_file import Header, encode_header


class RowsWriter:
    """An append-only file of frames. It keeps its first error and drops later frames."""

    def __init__(self, path: Path, header: Header) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._row_bytes = header.row_bytes
        self._frames = 0
        self.rows = 0  # rows written to the file
        self.error: str | None = None
        self._write(memoryview(encode_header(header)))

    def append(self, buffer: bytearray, end: int) -> int:
        """Write a frame: space for its head, then rows up to `end`. Returns the number of rows, or 0 on failure."""
        fill_head(buffer, self._row_bytes, end, self._frames)
        with memoryview(buffer) as view:
            if not self._write(view[:end]):
                return 0
        rows = end // self._row_bytes - 1
        self._frames += 1
        self.rows += rows
        return rows

    def _write(self, data: memoryview) -> bool:
        """Write all data. Returns whether it succeeded."""
        written = 0
        try:
            while self.error is None and written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError as error:
            self.error = f"could not write records: {error.strerror or error}"
        return written == len(data)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


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

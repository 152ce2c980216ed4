"""Ranges of several input files, which are processed as one input: each range lies in one file.

The numbers of lines count rows over all files, as in a run of one process. So the rows of a file that cannot be cut
(packed, a table) are counted before the next file begins, which reads it once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from harness.bulk.fleet.cutter import Cuts, cutter_of
from harness.bulk.leases.range import Range
from harness.client.errors import UsageError
from harness.client.input_settings import InputSettings
from harness.load.folder import InputFile, plain
from harness.load.lines import is_packed
from harness.load.rows import FilePart, RowReader


class FilesCutter:
    """The ranges of all files, in order. Use it in one thread at a time; raises UsageError if a file cannot be read."""

    def __init__(
        self, files: Sequence[InputFile], settings: InputSettings, lines_max: int, after: Range | None = None
    ) -> None:
        self._files = files
        self._settings = plain(settings)
        self._lines_max = lines_max
        self._number = 0 if after is None else after.number + 1
        self._line = 1 if after is None else after.line + after.lines
        self._file = 0 if after is None else after.file
        self._sizes = [_size(file.path) for file in files]
        self._cut_bytes = sum(self._sizes[: self._file])
        self._begun: tuple[RowReader, Cuts] | None = None
        if after is not None:
            self._continue(after)

    def _continue(self, after: Range) -> None:
        if after.is_whole:
            self._leave_file()
            return
        # The numbers of a file's cutter are those of its own lines.
        local = Range(-1, after.begin, after.end, after.file_line, after.file_lines)
        self._begun = self._reader_and_cutter(after.file, local)
        self._cut_bytes += 0 if self._begun[0].groups else after.end

    def _reader_and_cutter(self, file: int, after: Range | None = None) -> tuple[RowReader, Cuts]:
        path = self._files[file].path
        with _readable(path):
            reader = RowReader(path, settings=self._settings)
            return reader, cutter_of(str(path), reader, _can_be_cut(path, reader), self._lines_max, after)

    def _leave_file(self) -> None:
        self._cut_bytes = sum(self._sizes[: self._file + 1])
        self._file, self._begun = self._file + 1, None

    def next(self) -> Range | None:
        """The next range; None after the last file."""
        while self._file < len(self._files):
            if self._begun is None:
                self._begun = self._reader_and_cutter(self._file)
            reader, cutter = self._begun
            local = cutter.next()
            if local is None:
                self._leave_file()
            else:
                return self._made(local, reader)
        return None

    def _made(self, local: Range, reader: RowReader) -> Range:
        part = None if local.is_whole else FilePart(local.begin, local.end, local.line)
        with _readable(self._files[self._file].path):
            rows = local.lines if local.file_line else _count(reader, part)
        found = msgspec.structs.replace(
            local,
            number=self._number,
            line=self._line,
            lines=rows,
            total_crc=0,
            file=self._file,
            file_line=local.line,
            file_lines=local.lines,
        )
        self._number, self._line = self._number + 1, self._line + rows
        self._cut_bytes += 0 if local.is_whole or local.file_line else local.end - local.begin
        return found

    def lines_expected(self, size: int) -> float | None:
        """Rows of all files, from those counted so far; None if nothing is known of them."""
        if not self._cut_bytes:
            return None
        return (self._line - 1) * max(1.0, size / self._cut_bytes)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Raise UsageError in place of OSError: what cannot be read is no file that cannot be written."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error


def _size(path: Path) -> int:
    with _readable(path):
        return os.path.getsize(path)


def _count(reader: RowReader, part: FilePart | None) -> int:
    """Rows of a range. The place where a file breaks off is one more; its worker says so."""
    rows = 0
    try:
        for _ in reader.numbered(part):
            rows += 1
    except UsageError:
        return rows + 1
    return rows


def _can_be_cut(path: Path, reader: RowReader) -> bool:
    with path.open("rb") as file:
        return not (reader.is_converted or reader.settings.encoding is not None or is_packed(file.read(4)))

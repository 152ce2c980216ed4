"""The rows of a long repeat in one temporary file for each column, so that memory is bounded by a few columns.

`ColumnRows` answers like the array of records that it stands for: by the name of a column, by a mask, by positions. A
column is read each time it is asked for, and a mask is kept until then.
"""

from __future__ import annotations

import errno
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.base import units

Array = np.ndarray[Any, np.dtype[Any]]

LARGE_ROWS = 1_000_000
"""More rows than this are not kept in memory as records."""


COPIED_BYTES = 1 << 20
FULL = {errno.ENOSPC, errno.EDQUOT}
"""The disk is full, or the user's share of it."""


class _ColumnFile:
    """The values of one column, beside the records, where there is room. It has no name: nothing of it stays."""

    def __init__(self, folder: Path) -> None:
        self._is_beside = True
        try:
            self._file = tempfile.TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115 - it lives as long as this object
        except OSError as error:
            self._file = self._elsewhere(error)
        self._closing = weakref.finalize(self, self._file.close)

    def append(self, values: Array) -> None:
        """Add values at the end. Raises OSError."""
        view = _bytes_of(values)
        while len(view):
            try:
                view = view[self._file.write(view) :]
            except OSError as error:
                if error.errno not in FULL:
                    raise
                self._move(error)

    def _elsewhere(self, error: OSError) -> Any:
        """A file in the system's folder for temporary files. Raises the error if it is there already, or cannot be."""
        if not self._is_beside:
            raise error
        self._is_beside = False
        try:
            return tempfile.TemporaryFile(buffering=0)
        except OSError:
            raise error from None

    def _move(self, error: OSError) -> None:
        """Go on elsewhere, with what was written. Raises the error if there is no room either."""
        file = self._elsewhere(error)
        try:
            self._file.seek(0)
            while piece := self._file.read(COPIED_BYTES):
                view = memoryview(piece)
                while view:
                    view = view[file.write(view) :]
        except OSError:
            file.close()
            raise error from None
        self._closing()
        self._file, self._closing = file, weakref.finalize(self, file.close)

    def fill(self, values: Array) -> None:
        """Read all values into an array of their number. Raises OSError."""
        view = _bytes_of(values)
        self._file.seek(0)
        while len(view):
            if not (read := self._file.readinto(view)):
                raise OSError("a temporary file of the summary was cut off")
            view = view[read:]


def _bytes_of(values: Array) -> memoryview:
    return memoryview(values.view(np.uint8))  # type: ignore[arg-type] # an array has a buffer


class ColumnRows:
    """Rows in files; `mask` says which of them, None: all."""

    def __init__(
        self, files: dict[str, _ColumnFile], dtype: np.dtype[Any], count: int, mask: Array | None = None
    ) -> None:
        self.dtype = dtype
        self._files = files
        self._count = count
        self._mask = mask
        self._len = count if mask is None else int(np.count_nonzero(mask))

    def __len__(self) -> int:
        return self._len

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self._column(key)
        if not isinstance(key, slice) and np.asarray(key).dtype == bool:
            return self._masked(np.asarray(key))
        length = len(range(*key.indices(len(self)))) if isinstance(key, slice) else len(key)
        records = np.empty(length, self.dtype)
        for name in self.dtype.names or ():
            records[name] = self._column(name)[key]
        return records

    def _column(self, name: str) -> Array:
        values = np.empty(self._count, self.dtype[name])
        self._files[name].fill(values)
        return values if self._mask is None else values[self._mask]

    def _masked(self, which: Array) -> ColumnRows:
        if which.all():
            return self
        mask = which
        if self._mask is not None:
            mask = self._mask.copy()
            mask[self._mask] = which
        return ColumnRows(self._files, self.dtype, self._count, mask)


class RowsBuilder:
    """Collects rows block by block: records in memory, or columns in files once there are many."""

    def __init__(self, dtype: np.dtype[Any], folder: Path) -> None:
        self._dtype = dtype
        self._folder = folder
        self._blocks: list[Array] = []
        self._in_memory = 0
        self._files: dict[str, _ColumnFile] = {}
        self.count = 0

    def add(self, rows: Array) -> None:
        """Append a block."""
        self.count += len(rows)
        self._blocks.append(rows)
        self._in_memory += len(rows)
        if self.count > LARGE_ROWS and (not self._files or self._in_memory >= LARGE_ROWS // 10):
            self._spill()

    def rows(self) -> Any:
        """All rows."""
        if self._files:
            self._spill()
            return ColumnRows(self._files, self._dtype, self.count)
        blocks, self._blocks = [block for block in self._blocks if len(block)], []
        if not blocks:
            return np.empty(0, self._dtype)
        return blocks[0].copy() if len(blocks) == 1 else np.concatenate(blocks)

    def _spill(self) -> None:
        try:
            self._write()
        except OSError as error:
            if error.errno not in FULL:
                raise
            needed = units.megabytes(self.count * self._dtype.itemsize / 1e6)
            text = f"{error.strerror}; the rows of one repeat need {needed} or more, there or in the folder of TMPDIR"
            raise OSError(error.errno, text, str(self._folder)) from error

    def _write(self) -> None:
        if not self._files:
            self._files = {name: _ColumnFile(self._folder) for name in self._dtype.names or ()}
        if self._blocks:
            rows = np.concatenate(self._blocks)
            for name, file in self._files.items():
                file.append(np.ascontiguousarray(rows[name]))
        self._blocks, self._in_memory = [], 0


def pieces(count: int, size: int = 1 << 20) -> Iterator[slice]:
    """Slices of so many values each, so that computing with them takes little memory."""
    for start in range(0, count, size):
        yield slice(start, start + size)


def in_order(instants: Array, values: Array) -> Array:
    """The values in order of their instants."""
    if (instants[1:] >= instants[:-1]).all():
        return values
    ordered: Array = values[np.argsort(instants, kind="stable")]
    return ordered


def picked(rows: Any, places: Array, names: Sequence[str]) -> Array:
    """Some fields of the rows at these places, as records."""
    records = np.empty(len(places), [(name, rows.dtype[name]) for name in names])
    for name in names:
        records[name] = rows[name][places]
    return records


def distinct(values: Array) -> int:
    """The number of different values."""
    if not len(values):
        return 0
    most = int(values.max())
    if most < 8 * len(values) + 1024:
        seen = np.zeros(most + 1, bool)
        seen[values] = True
        return int(np.count_nonzero(seen))
    ordered = np.sort(values)
    return 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))

"""Parquet and Arrow files as lines of JSON, batch by batch: memory use does not depend on the file's size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from harness.base.files import check_regular
from harness.client.errors import UsageError

# Rows that are objects of Python at one time.
ROWS = 512
_encode = msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode


class Table:
    """A Parquet or Arrow file. Raises UsageError if it cannot be read, or without pyarrow."""

    def __init__(self, path: str, form: str) -> None:
        self.path = path
        self._form = form
        self._arrow = pyarrow_for(path)
        # Batches are read in changing threads; the library's own allocator keeps memory for each of them.
        self._arrow.set_memory_pool(self._arrow.system_memory_pool())
        with self._named():
            check_regular(path)
            file = self._open()
            self.names: list[str] = list((file.schema_arrow if form == "parquet" else file.schema).names)
            # Number of rows; None where the file does not say it.
            self.count: int | None = file.metadata.num_rows if form == "parquet" else None
            # Rows of each group, which can be read alone; none for a form without groups.
            self.groups: list[int] = _groups(file.metadata) if form == "parquet" else []
        if twice := next((name for name in self.names if self.names.count(name) > 1), None):
            raise UsageError(f"{path}: the column {twice!r} is there twice")

    def pieces(self, groups: range | None = None) -> Iterator[bytes]:
        """The rows as lines of JSON, some of them a piece; those of some groups, if given."""
        with self._named():
            for batch in self._batches(self._open(), groups):
                for start in range(0, batch.num_rows, ROWS):
                    rows = batch.slice(start, ROWS).to_pylist()
                    yield b"".join([_encode(row) + b"\n" for row in rows])

    def _open(self) -> Any:
        arrow = self._arrow
        if self._form == "parquet":
            # Without a buffer for a whole group of rows, which may be the whole file.
            return arrow.parquet.ParquetFile(self.path, pre_buffer=False, buffer_size=1 << 16)
        # Pages of a mapped file would count as memory of this process.
        source = arrow.OSFile(self.path)
        try:
            return arrow.ipc.open_file(source)
        except arrow.ArrowInvalid:
            source.seek(0)
            return arrow.ipc.open_stream(source)

    def _batches(self, file: Any, groups: range | None) -> Iterator[Any]:
        if self._form == "parquet":
            chosen = None if groups is None else list(groups)
            yield from file.iter_batches(batch_size=ROWS, row_groups=chosen, use_threads=False)
        elif hasattr(file, "num_record_batches"):
            for number in range(file.num_record_batches):
                yield file.get_batch(number)
        else:
            yield from file

    def _named(self) -> _Named:
        return _Named(self.path, self._form, self._arrow)


def _groups(metadata: Any) -> list[int]:
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


class _Named:
    """Gives errors of the library the name of the file."""

    def __init__(self, path: str, form: str, arrow: Any) -> None:
        self._path, self._form, self._arrow = path, form, arrow

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, self._arrow.ArrowException):
            said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise UsageError(f"{self._path}: is not {self._form.capitalize()}, or is damaged: {said}") from error
        if isinstance(error, OSError):
            raise UsageError(f"{self._path}: {error.strerror or error}") from error


def pyarrow_for(path: str) -> Any:
    """The library. Raises UsageError with the install command if it is missing."""
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError:
        raise UsageError(f'{path}: needs the package pyarrow: pip install "paceline[parquet]"') from None
    return pyarrow

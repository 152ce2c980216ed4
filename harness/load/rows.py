"""Rows of an input file, by its form: JSONL, CSV or TSV, also packed with gzip or Zstandard.

Other forms are turned into JSONL by `harness.load.forms`. This is the one place that knows rows: `splitter` cuts bytes
into raw rows, `row` reads one of them. A raw row of CSV may hold line breaks within quotes. CSV and TSV begin with a
line of column names, and all their values are texts.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from harness.client.errors import ItemError, UsageError
from harness.client.input_settings import InputSettings
from harness.client.tasks.http.pointer import MISSING, found, kind_of, tokens_of
from harness.load import chat_rows, folder, forms
from harness.load.csv_records import Records
from harness.load.lines import BOM, LINE_MAX, READ_BYTES, Lines, LongLine, split
from harness.load.templates import Template, Where, check_columns

_DELIMITERS = (",", ";", "\t", "|")
_COLUMNS_SHOWN = 12
_object = msgspec.json.Decoder(dict[str, Any]).decode


def _decode(raw: bytes) -> dict[str, Any]:
    """A line as an object; raises ItemError or `msgspec.DecodeError`."""
    try:
        row: dict[str, Any] = _object(raw)
    except msgspec.ValidationError:
        # The decoder stops at the first byte of another value, and does not see that the line is cut off.
        value = msgspec.json.decode(raw)
        raise ItemError(f"expected a JSON object, got {kind_of(value)}") from None
    return row


@dataclass(frozen=True)
class FilePart:
    """Bytes of a file that is neither packed nor converted, at ends of rows; of a Parquet file numbers of groups."""

    begin: int
    end: int
    # Number of the first row.
    line: int

    def pieces(self, path: str) -> Iterator[bytes]:
        """Its bytes. Raises UsageError if the file cannot be read, or is shorter."""
        try:
            with open(path, "rb") as file:
                file.seek(self.begin)
                left = self.end - self.begin
                while left > 0 and (piece := file.read(min(READ_BYTES, left))):
                    left -= len(piece)
                    yield piece
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror or error}") from error
        if left > 0:
            raise UsageError(f"{path}: is shorter than before: it has changed")


class RowReader:
    """Reads the rows of one input file, of a folder, or of a list of files, whose others are `more`."""

    def __init__(
        self,
        path: Path | str,
        columns: Mapping[str, str] | None = None,
        settings: InputSettings | None = None,
        more: Sequence[str] = (),
        # Fields that rows have beside their columns.
        added: Sequence[str] = (),
        # A pipe is allowed, because nothing of it is read here; `-` is one.
        once: bool = False,
    ) -> None:
        self.path = str(path)
        self.columns = dict(columns or {})
        self.settings = settings or InputSettings()
        # Several files, or those of a folder.
        self.files = folder.files_of(self.path, more) if more or Path(self.path).is_dir() else []
        self.is_pipe = not self.files and forms.is_pipe(self.path, once)
        self.form = "jsonl" if self.files else forms.form_of(self.path, self.settings, self.is_pipe)
        self._added = tuple(added)
        self._pointers = {
            field: tokens_of(column, f"--map {field}")
            for field, column in self.columns.items()
            if column.startswith("/")
        }
        self._names: list[str] = []
        # Names of columns, where they are known before the first row.
        self.column_names: list[str] = []
        self._delimiter = ","
        given = self.settings
        self._where = Where(given.where) if given.where is not None else None
        self._template = Template(given.template) if given.template is not None else None
        self._parameters = chat_rows.parameters_of(given.parameters)
        # Number of rows, where the file says it.
        self.count: int | None = None
        for file in self.files:
            # Each file has the columns, or is refused before anything is sent.
            RowReader(file.path, self.columns, self.settings, added=folder.ADDED)
        # Rows of each group of a Parquet file.
        self.groups: list[int] = []
        if (table := forms.table_of(self.path, self.form)) is not None:
            self.count, self.groups = table.count, table.groups
            self._check_columns(table.names)
        # What is read of a pipe is gone.
        elif self.has_header and not self.is_pipe:
            self.read_header(next((raw for raw in self.raw_rows() if isinstance(raw, LongLine) or raw.strip()), b""))

    @property
    def has_header(self) -> bool:
        """Whether the first row holds the names of columns."""
        return self.form in {"csv", "tsv"}

    def expected(self) -> int | None:
        """About how many rows there are, where that is known without reading all of them."""
        return folder.rows_expected(self.files, self.settings) if self.files else self.count

    def raw_rows(self) -> Iterator[bytes | LongLine]:
        """The raw rows of the file. Raises UsageError if it cannot be read or decompressed."""
        return split(self.pieces(), self.splitter())

    def numbered(self, part: FilePart | None = None) -> Iterator[tuple[int, bytes | LongLine]]:
        """Number and bytes of every raw row that is not blank, without the names of columns; of a part, if given."""
        rows = (
            self.raw_rows()
            if part is None
            else split(self.part_pieces(part), self.splitter(0 if self.groups else part.begin))
        )
        first = 1 if part is None else part.line
        header = self.has_header and first == 1
        for number, raw in enumerate(rows, first):
            if isinstance(raw, LongLine) or raw.strip():
                if not header:
                    yield number, raw
                header = False

    @property
    def is_converted(self) -> bool:
        """Whether `pieces` are made from the file, and are not its own bytes."""
        return bool(self.files) or forms.is_converted(self.form)

    def pieces(self) -> Iterator[bytes]:
        """The file as JSONL, CSV or TSV in UTF-8, in pieces of any size."""
        if self.files:
            return folder.pieces(self.files, self.settings)
        return forms.pieces(self.path, self.form, self.settings.encoding)

    def part_pieces(self, part: FilePart) -> Iterator[bytes]:
        """A part of the file, in pieces of any size."""
        table = forms.table_of(self.path, self.form)
        return part.pieces(self.path) if table is None else table.pieces(range(part.begin, part.end))

    def splitter(self, at: int = 0) -> Lines | Records:
        """Cuts bytes into raw rows."""
        # Lines of several files are made by `pieces`, which bounds their rows.
        return Records(at) if self.has_header else Lines(at, own=bool(self.files))

    def row(self, raw: bytes) -> dict[str, Any]:
        """A raw row as an object; raises ItemError or `msgspec.MsgspecError`."""
        return self.placed(raw).row

    def placed(self, raw: bytes) -> folder.Placed:
        """The same, with the place of one of several files, and with the row's own bytes."""
        if self.has_header:
            return folder.Placed(self._cells(raw), None, raw)
        row = _decode(raw)
        return folder.placed(row, raw) if self.files else folder.Placed(row, None, raw)

    def plain(self, raw: bytes) -> dict[str, Any]:
        """What `row` and `mapped` make of a raw row if `is_plain`, in fewer steps; raises as they do."""
        row = _decode(raw)
        # The test of `unfolded`, for the rows that need no call.
        return chat_rows.unfolded(row) if "custom_id" in row or "conversations" in row else row

    def mapped(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row with the fields that --map and --template make; raises ItemError."""
        row = chat_rows.unfolded(row)
        if not (self.columns or self._template or self._parameters or self.settings.system is not None):
            return row
        made = dict(row)
        self._map(row, made)
        if self._template is not None:
            self._template.fill(made)
            if self._template.is_prompt:
                chat_rows.drop_parameters(made, self.columns)
        chat_rows.add(made, self.settings.system, self._parameters)
        return made

    def _map(self, row: dict[str, Any], made: dict[str, Any]) -> None:
        for field, column in self.columns.items():
            value = found(row, self._pointers[field]) if field in self._pointers else row.get(column, MISSING)
            if value is not MISSING:
                made[field] = value
            elif field != column:
                made.pop(field, None)

    @property
    def fields_read(self) -> frozenset[str]:
        """Fields that the template reads; all mapped ones if it reads the row as a whole."""
        used = self._template.columns if self._template is not None else frozenset()
        return frozenset(self.columns) if "row" in used else frozenset(used)

    @property
    def chooses(self) -> bool:
        """Whether only some of the rows are wanted."""
        return self._where is not None

    @property
    def is_plain(self) -> bool:
        """Whether each raw row is an object as the task gets it: nothing is mapped, chosen or filled in."""
        adds = self.columns or self._template or self._parameters or self.settings.system is not None
        return not (adds or self._where or self.has_header or self.files)

    def wanted(self, row: dict[str, Any]) -> bool:
        """Whether --where holds; raises ItemError."""
        return self._where is None or self._where.holds(row)

    def fingerprint(self) -> dict[str, Any]:
        """What affects the items: a resumed run must have the same."""
        found: dict[str, Any] = {**({"columns": self.columns} if self.columns else {}), **self.settings.fingerprint()}
        if self._template is not None:
            found["template's content"] = self._template.sha256
        return found | ({"values of --param": self._parameters} if self._parameters else {})

    def explained(self, error: ItemError, row: Mapping[str, Any]) -> ItemError:
        """The error of a row; of a missing field also what the row has, and how the field is taken from it."""
        field = str(error).partition(":")[0]
        # A field that is mapped is taken from its column alone, even if the row has one of its name.
        has = field in row and field not in self.columns
        if not str(error).endswith(": is missing") or has or not re.fullmatch(r"[\w -]+", field):
            return error
        way = f"--map {field}={self.columns.get(field, 'COLUMN')}"
        how = way if field in self.columns else f"{way} takes it from another column"
        return ItemError(f"{error} ({how}; the row has {few(list(row))})")

    def read_header(self, first: bytes | LongLine) -> None:
        """Take the names of columns from the first row. Raises UsageError."""
        if isinstance(first, LongLine):
            raise UsageError(f"{self.path}: the first line is longer than {LINE_MAX} bytes")
        if not first.strip():
            raise UsageError(f"{self.path}: is empty; the first line must hold the names of columns")
        try:
            text = self._text(first.removeprefix(BOM))
            self._delimiter = self.settings.mark or self._found_delimiter(text)
            names = [name.strip() for name in self._split(text)]
        except ItemError as error:
            raise UsageError(f"{self.path}: the line with the names of columns {error}") from error
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UsageError(f"{self.path}: the column {twice!r} is there twice")
        self._names = names
        self._check_columns(names)

    def _found_delimiter(self, text: str) -> str:
        return "\t" if self.form == "tsv" else max(_DELIMITERS, key=lambda mark: _outside(text, mark))

    def _check_columns(self, names: list[str]) -> None:
        names = [*names, *(name for name in self._added if name not in names)]
        self.column_names = names
        for field, column in self.columns.items():
            if field not in self._pointers and column not in names:
                raise UsageError(f"--map {field}={column}: {self.path} has no such column; it has {few(names)}")
        if self._where is not None:
            check_columns("--where", self._where.columns, names, self.path, few(names))
        if self._template is not None:
            used = self._template.columns - self.columns.keys()
            check_columns(f"--template {self._template.file}", used, names, self.path, few(names))

    def _cells(self, raw: bytes) -> dict[str, Any]:
        cells = self._split(self._text(raw))
        if len(cells) != len(self._names):
            raise ItemError(f"has {len(cells)} values, where the header names {len(self._names)} columns")
        return dict(zip(self._names, cells, strict=True))

    def _split(self, text: str) -> list[str]:
        csv.field_size_limit(LINE_MAX)
        try:
            return next(csv.reader([text], delimiter=self._delimiter, strict=True), [])
        except csv.Error as error:
            raise ItemError(f"is not {self.form.upper()}: {error}") from error

    def _text(self, raw: bytes) -> str:
        try:
            return raw.decode().removesuffix("\r")
        except UnicodeDecodeError as error:
            raise ItemError(f"{forms.NOT_UTF8} ({error.reason} at byte {error.start})") from error


def _outside(text: str, mark: str) -> int:
    """How often a mark stands outside of quotes."""
    return sum(part.count(mark) for part in text.split('"')[::2])


def few(names: list[str]) -> str:
    """The first names of columns, for a message."""
    more = ", ..." if len(names) > _COLUMNS_SHOWN else ""
    return ", ".join(names[:_COLUMNS_SHOWN]) + more if names else "none"

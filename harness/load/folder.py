"""Several input files as one stream of rows: those of a folder or of a list, one after the other, each in its form.

A row becomes a line of JSON that begins with its place, which `RowReader` takes off again. A row that could not be read
is such a line, too, with the reason and its bytes.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from harness.client.errors import ItemError, UsageError
from harness.client.input_settings import InputSettings
from harness.load.lines import LINE_MAX, LongLine

if TYPE_CHECKING:
    from harness.load.rows import FilePart

_AT, _BAD, _BROKEN = "\0at", "\0bad row", "\0broken file"
_ENDS = 4096
# Bytes that are read to estimate the number of rows, of all files together.
_COUNTED = 32 * 1024 * 1024
ADDED = ("file", "id")
"""Fields that every row has; its own come before them."""
_encode = msgspec.json.Encoder().encode


class InputFile(NamedTuple):
    """One of several files, and its name in rows and messages."""

    name: str
    path: Path


class Place(NamedTuple):
    """A row of one of several files, by its number in it."""

    file: str
    line: int


class Placed(NamedTuple):
    """A row, its place, and its bytes."""

    row: dict[str, Any]
    place: Place | None
    raw: bytes | LongLine


class BadRowError(ItemError):
    """A row that could not be read, with its place and bytes."""

    def __init__(self, reason: str, place: Place, raw: bytes | LongLine, ends_file: bool = False) -> None:
        super().__init__(reason)
        self.place = place
        self.raw = raw
        # The rest of its file cannot be read.
        self.ends_file = ends_file


def files_of(path: str, more: Sequence[str] = ()) -> list[InputFile]:
    """The files of a folder by name, without hidden ones; or all of a list, with those of its folders.

    Raises UsageError for a folder without a file, for a path that is no file, and for a file that is given twice.
    """
    if not more:
        return _inside(path, "")
    found: list[InputFile] = []
    for one in (path, *more):
        if one == "-":
            raise UsageError("INPUT: - is standard input, which stands alone; give it no file beside it")
        found += _inside(one, f"{one.rstrip('/')}/") if Path(one).is_dir() else [_file(one, Path(one))]
    seen: set[Path] = set()
    for file in found:
        real = file.path.resolve()
        if real in seen:
            raise UsageError(f"INPUT: {file.name} is given twice")
        seen.add(real)
    return found


def _inside(path: str, before: str) -> list[InputFile]:
    try:
        names = sorted(each.name for each in Path(path).iterdir() if not each.name.startswith("."))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    found = [_file(before + name, Path(path, name)) for name in names if not Path(path, name).is_dir()]
    if not found:
        raise UsageError(f"{path}: has no file")
    return found


def _file(name: str, path: Path) -> InputFile:
    try:
        path.stat()
    except OSError as error:
        # A link to itself, or to nothing.
        raise UsageError(f"{path}: {error.strerror or error}") from error
    try:
        name.encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(name).decode("utf-8", "backslashreplace")
        raise UsageError(f"{shown}: the file's name is not UTF-8, so no row can carry it; rename the file") from error
    if not path.is_file():
        raise UsageError(f"{path}: is no file; a pipe or device stands alone as INPUT")
    return InputFile(name, path)


def plain(settings: InputSettings) -> InputSettings:
    """The settings of each file: templates and conditions belong to the rows of all files."""
    return InputSettings(settings.input_format, settings.delimiter, settings.encoding)


def pieces(
    files: Sequence[InputFile], settings: InputSettings, part: FilePart | None = None, past_breaks: bool = False
) -> Iterator[bytes]:
    """Every row as a line of JSON, with the name of its `file`; one without an `id` gets FILE:LINE.

    With `part` only those rows of each file. With `past_breaks` the place where a file breaks off is a bad row, and the
    next file follows; else UsageError is raised.
    """
    for file in files:
        for number, row in _rows_past(file, settings, part) if past_breaks else _rows(file, settings, part):
            made = row if _BAD in row else {"file": file.name, "id": f"{file.name}:{number}", **row}
            yield _head(Place(file.name, number))[:-1] + b"," + _encode(made)[1:] + b"\n"


def _head(place: Place) -> bytes:
    return _encode({_AT: place})


def placed(row: dict[str, Any], raw: bytes) -> Placed:
    """A row of `pieces` and its line without the place. Raises BadRowError."""
    place = Place(*row.pop(_AT))
    if _BAD in row:
        held = base64.b64decode(row["raw"])
        bytes_ = LongLine(held, *row["bytes"]) if "bytes" in row else held
        raise BadRowError(f"{place.file}, line {place.line}: {row[_BAD]}", place, bytes_, _BROKEN in row)
    return Placed(row, place, b"{" + raw[len(_head(place)) :])


def _rows(file: InputFile, settings: InputSettings, part: FilePart | None) -> Iterator[tuple[int, dict[str, Any]]]:
    from harness.load.rows import RowReader

    reader = RowReader(file.path, settings=plain(settings))
    for number, raw in reader.numbered(part):
        if isinstance(raw, LongLine):
            more = {"raw": base64.b64encode(raw.head).decode(), "bytes": [raw.begin, raw.end]}
            yield number, {_BAD: f"longer than {LINE_MAX} bytes", **more}
            continue
        try:
            # Fields with the names of ours are left out.
            yield number, {name: value for name, value in reader.row(raw).items() if name not in (_AT, _BAD)}
        except (ItemError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            yield number, {_BAD: str(error), "raw": base64.b64encode(raw).decode()}


def _rows_past(file: InputFile, settings: InputSettings, part: FilePart | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows, and a bad one at the place where the file breaks off."""
    number = 0 if part is None else part.line - 1
    try:
        for number, row in _rows(file, settings, part):
            yield number, row
    except UsageError as error:
        yield number + 1, {_BAD: str(error), _BROKEN: True, "raw": ""}


def rows_expected(files: Sequence[InputFile], settings: InputSettings) -> int | None:
    """About how many rows they have together, for progress; None if that takes reading all of them."""
    from harness.load import forms
    from harness.load.lines import count_lines

    found = 0
    for file in files:
        form = forms.form_of(str(file.path), InputSettings(settings.input_format, settings.delimiter))
        if (table := forms.table_of(str(file.path), form)) is not None:
            rows = table.count
        elif form == "json" or settings.encoding is not None:
            rows = None
        else:
            try:
                rows = max(0, count_lines(file.path, _COUNTED // len(files)) - (form in {"csv", "tsv"}))
            # It is damaged or breaks off: its reader says so, after the rows before that.
            except UsageError:
                rows = None
        if rows is None:
            return None
        found += rows
    return found


def fingerprint(files: Sequence[InputFile]) -> tuple[int, int, str]:
    """Size of all files, the latest change, and a checksum of their names, sizes, beginnings and ends."""
    size, changed, digest = 0, 0, hashlib.sha256()
    for file in files:
        info = file.path.stat()
        size, changed = size + info.st_size, max(changed, info.st_mtime_ns)
        digest.update(f"{file.name}\0{info.st_size}\0".encode())
        with file.path.open("rb") as opened:
            digest.update(opened.read(_ENDS))
            opened.seek(max(0, info.st_size - _ENDS))
            digest.update(opened.read(_ENDS))
    return size, changed, digest.hexdigest()

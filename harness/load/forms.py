"""Forms of input files, and those that are turned into lines of JSON while they are read.

`pieces` is such a file as bytes of JSONL, so that everything behind it knows rows of JSONL and CSV only.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from harness.base.files import check_regular, is_special
from harness.client.errors import UsageError
from harness.client.input_settings import InputSettings
from harness.load.lines import BOM, LINE_MAX, LongLine, lines_of, pieces_of
from harness.load.tables import Table

_PACKED = re.compile(r"\.(gz|zst|zstd)$", re.I)
_ENDINGS = {
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".txt": "text",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
# Endings of files that certainly are no lines of JSON.
_FOREIGN = frozenset(
    {
        *(
            ".xls",
            ".xlsx",
            ".ods",
            ".xml",
            ".html",
            ".yaml",
            ".yml",
            ".toml",
            ".pdf",
            ".doc",
            ".docx",
            ".pkl",
            ".pickle",
        ),
        *(".npy", ".npz", ".avro", ".orc", ".zip", ".7z", ".tar", ".tgz", ".bz2", ".xz", ".sqlite", ".db", ".h5"),
    }
)
_TABLES = frozenset({"parquet", "arrow"})
_CONVERTED = frozenset({"json", "text", *_TABLES})
NOT_UTF8 = "is not UTF-8; name its encoding, such as --encoding latin-1"
_BLANK = " \t\r\n"


def is_pipe(path: str, allowed: bool) -> bool:
    """Whether a path is standard input, a pipe or a device; raises UsageError where that is not allowed."""
    if path == "-":
        if not allowed:
            raise UsageError("-: only `process` reads standard input; give a file, which can be read again")
        return True
    if not allowed:
        try:
            check_regular(path)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
    return is_special(path)


def form_of(path: str, settings: InputSettings | None = None, is_pipe: bool = False) -> str:
    """The form of a file, by --input-format or its ending. Raises UsageError for an ending that is no form of input."""
    if settings is not None and settings.input_format is not None:
        form = settings.input_format
    else:
        check_ending(path, "read", "JSONL, JSON, CSV, TSV, text, Parquet and Arrow (--input-format names the form)")
        ending = Path(_PACKED.sub("", path)).suffix.lower()
        form = _ENDINGS.get(ending, "jsonl")
    _check(path, form, settings or InputSettings(), is_pipe or path == "-")
    return form


def check_ending(path: str, verb: str, allowed: str) -> None:
    """Raise UsageError for the name of a file of another program."""
    ending = Path(_PACKED.sub("", path)).suffix.lower()
    if ending in _FOREIGN:
        raise UsageError(f"{path}: {ending} is not {verb}; allowed are {allowed}")


def _check(path: str, form: str, settings: InputSettings, is_pipe: bool) -> None:
    if form in _CONVERTED and is_pipe:
        what = f"--input-format {form}: standard input" if path == "-" else f"{path}: {form}: a pipe"
        raise UsageError(f"{what} is JSONL, CSV or TSV; give a file")
    if form in _TABLES and _PACKED.search(path):
        raise UsageError(f"{path}: {form.capitalize()} is packed inside already; unpack the file first")
    if form in _TABLES and settings.encoding is not None:
        raise UsageError(f"--encoding {settings.encoding}: {path} is {form.capitalize()}, which is no text")
    if settings.delimiter is not None and form not in {"csv", "tsv"}:
        raise UsageError(f"--delimiter: {path} is read as {form}, which has none; --input-format csv reads it as CSV")


def is_converted(form: str) -> bool:
    """Whether `pieces` gives rows of JSON for this form."""
    return form in _CONVERTED


def table_of(path: str, form: str) -> Table | None:
    """The file as a table, if its form is one."""
    return Table(path, form) if form in _TABLES else None


def pieces(path: str, form: str, encoding: str | None = None) -> Iterator[bytes]:
    """A file as lines of JSON, in pieces of any size; of other forms its bytes in UTF-8, unpacked."""
    if (table := table_of(path, form)) is not None:
        return table.pieces()
    if form == "text":
        return _texts(path, encoding)
    found = pieces_of(Path(path), encoding)
    return _elements(path, found) if form == "json" else found


def _texts(path: str, encoding: str | None) -> Iterator[bytes]:
    """A line of text is the field `text` of a row; a blank one stays blank."""
    for number, line in enumerate(lines_of(Path(path), encoding=encoding), 1):
        if isinstance(line, LongLine):
            raise UsageError(f"{path}: line {number} is longer than {LINE_MAX} bytes")
        try:
            text = line.decode().removesuffix("\r")
        except UnicodeDecodeError:
            raise UsageError(
                f"{path}: line {number} is not UTF-8; name its encoding, such as --encoding latin-1"
            ) from None
        yield msgspec.json.encode({"text": text}) + b"\n" if text.strip() else b"\n"


def _elements(path: str, data: Iterable[bytes]) -> Iterator[bytes]:
    """The elements of a JSON array, one a line; anything else as it is, which may be JSONL."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    rest, count, begun = "", 0, False
    stream = iter(data)
    for piece in stream:
        try:
            rest += decoder.decode(piece)
        except UnicodeDecodeError:
            raise UsageError(f"{path}: {NOT_UTF8}") from None
        if not begun:
            rest = rest.removeprefix(BOM.decode()).lstrip(_BLANK)
            if rest and rest[0] != "[":
                yield rest.encode() + decoder.getstate()[0]
                yield from stream
                return
            begun = bool(rest)
            rest = "," + rest[1:] if begun else ""
        rows, rest = _cut(rest)
        count += len(rows)
        if rows:
            yield b"".join(rows)
        if len(rest) > LINE_MAX:
            raise UsageError(f"{path}: row {count + 1} is longer than {LINE_MAX} bytes, or is not JSON")
    # Of an empty array the comma is left that stands for its bracket.
    end = rest.removeprefix(",") if count == 0 else rest
    if begun and end.strip(_BLANK) != "]":
        raise UsageError(f"{path}: its JSON array is broken after row {count}: {rest[1:].strip(_BLANK)[:40]!r}")


def _cut(text: str) -> tuple[list[bytes], str]:
    """Whole elements of `, element, element`, and the text after them."""
    rows, scan = [], json.JSONDecoder().raw_decode
    at = 0
    while at < len(text) and text[at] == ",":
        start = at + 1
        while start < len(text) and text[start] in _BLANK:
            start += 1
        try:
            value, end = scan(text, start)
        except (json.JSONDecodeError, RecursionError):
            break
        while end < len(text) and text[end] in _BLANK:
            end += 1
        # A number at the end of a piece may go on in the next one.
        if end == len(text):
            break
        rows.append(msgspec.json.encode(value) + b"\n")
        at = end
    return rows, text[at:]

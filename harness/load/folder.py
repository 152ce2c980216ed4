"""A folder of input files as one stream of rows: the files by name, each in its own form."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from harness.client.errors import ItemError, UsageError
from harness.client.input_settings import InputSettings
from harness.load.lines import LINE_MAX, LongLine

BAD = "\0bad row"
"""Field of a row that could not be read, with the reason."""
_ENDS = 4096


def files_of(path: str) -> list[Path]:
    """The files of a folder by name, without hidden ones. Raises UsageError if there is none."""
    found = sorted(each for each in Path(path).iterdir() if each.is_file() and not each.name.startswith("."))
    if not found:
        raise UsageError(f"{path}: has no file")
    return found


def pieces(path: str, settings: InputSettings) -> Iterator[bytes]:
    """Every row as a line of JSON, with the name of its `file`; one without an `id` gets FILE:LINE."""
    for file in files_of(path):
        for number, row in _rows(file, settings):
            yield msgspec.json.encode({"file": file.name, "id": f"{file.name}:{number}", **row}) + b"\n"


def _rows(file: Path, settings: InputSettings) -> Iterator[tuple[int, dict[str, Any]]]:
    from harness.load.rows import RowReader

    # Templates and conditions belong to the rows of the whole folder.
    plain = InputSettings(settings.input_format, settings.delimiter, settings.encoding)
    reader = RowReader(file, settings=plain)
    for number, raw in reader.numbered():
        try:
            if isinstance(raw, LongLine):
                raise ItemError(f"longer than {LINE_MAX} bytes")  # noqa: TRY301 - gets its line's number below
            yield number, reader.row(raw)
        except (ItemError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            yield number, {BAD: f"{file.name}, line {number}: {error}"}


def fingerprint(path: str) -> tuple[int, int, str]:
    """Size of all files, the latest change, and a checksum of their names, sizes, beginnings and ends."""
    size, changed, digest = 0, 0, hashlib.sha256()
    for file in files_of(path):
        info = file.stat()
        size, changed = size + info.st_size, max(changed, info.st_mtime_ns)
        digest.update(f"{file.name}\0{info.st_size}\0".encode())
        with file.open("rb") as opened:
            digest.update(opened.read(_ENDS))
            opened.seek(max(0, info.st_size - _ENDS))
            digest.update(opened.read(_ENDS))
    return size, changed, digest.hexdigest()

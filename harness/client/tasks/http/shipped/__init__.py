"""Tasks that are TOML files: one file a task in this folder, or a file of the user's own."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from harness.base.files import bounded_bytes
from harness.client.errors import SettingError

_FOLDER = Path(__file__).parent
_SUFFIX = ".toml"


def names() -> list[str]:
    """The names of the files that are shipped."""
    return sorted(path.stem for path in _FOLDER.glob(f"*{_SUFFIX}"))


def summary(name: str) -> str:
    """The first line of a file, which is a comment."""
    return (_FOLDER / f"{name}{_SUFFIX}").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def split(given: str) -> tuple[str, dict[str, str]]:
    """File or name, and the fields that `FILE:field=value,...` sets; raises SettingError."""
    if Path(given).is_file():
        return given, {}
    match = re.fullmatch(r"(.*?\.toml|[^:]*)(?::(.*))?", given, re.S)
    assert match is not None  # noqa: S101 - the pattern fits every text
    fields: dict[str, str] = {}
    for part in filter(None, map(str.strip, (match[2] or "").split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not name:
            raise SettingError(f"{given}: {part!r} is not field=value")
        if name in fields:
            raise SettingError(f"{given}: {name} is given twice")
        fields[name] = value
    return match[1], fields


def file_text(file: str) -> str:
    """The text of a task's file, or of the shipped one of that name; raises SettingError."""
    path = _path(file)
    try:
        data = bounded_bytes(path)
    except OSError as error:
        raise SettingError(f"{file}: {error.strerror or error}{_hint(file)}") from error
    try:
        return data.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        raise SettingError(f"{file}: is not UTF-8: {error}") from error


def _path(file: str) -> Path:
    """A file of the user's takes precedence."""
    return _FOLDER / f"{file}{_SUFFIX}" if file in names() and not Path(file).exists() else Path(file)


def _hint(file: str) -> str:
    """For a name that may be meant as that of a shipped file."""
    if "/" in file or "." in file:
        return ""
    near = difflib.get_close_matches(file, names(), n=2, cutoff=0.5)
    said = f"did you mean {' or '.join(near)}? " if near else ""
    return f"; {said}shipped are {', '.join(names())}"

"""Fields of an item in a template: `{{ name }}`, its type, and what happens where it is missing.

{{ question }}            the value as it is: a text, a number, a list, an object
{{ year:integer }}        as a whole number, also from a text such as "1999" (CSV has texts only)
{{ note? }}               left out where the row has none
{{ top_k:integer = 5 }}   5 where the row has none
{{ /meta/lang }}          a value inside of the row, by JSON Pointer
{{ "{{" }}                the text {{ itself
"""

from __future__ import annotations

import base64
import json
import math
import mimetypes
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from harness.client.errors import ItemError, SettingError
from harness.client.tasks._decode import TEXT_MAX, checked_text
from harness.client.tasks.http.pointer import MISSING, Tokens, found, kind_of, tokens_of

UNSET: Any = msgspec.UNSET
"""The value of an optional field that a row does not have."""
FILE_MAX = 32 * 1024 * 1024  # bytes of a file that an item names

_TEXTUAL = frozenset({"any", "text"})
_FIELD = re.compile(
    r"\s*(?P<source>/[^:?=\s]*|[^:?={}\"\s][^:?={}\"]*?)\s*(?::\s*(?P<kind>[\w-]+)\s*)?(?P<optional>\?)?\s*"
    r"(?:=\s*(?P<default>.+?))?\s*",
    re.S,
)
_encode = msgspec.json.Encoder().encode


class Field(msgspec.Struct, frozen=True):
    """One field of a template."""

    source: str
    tokens: Tokens
    kind: str
    optional: bool = False
    default: Any = UNSET

    def value(self, row: Mapping[str, Any]) -> Any:
        """The value in a row, as its type; UNSET for an optional one that is missing. Raises ItemError."""
        value = row.get(self.source, MISSING)
        if type(value) is str and len(value) <= TEXT_MAX and value.isascii() and self.kind in _TEXTUAL:
            return value
        if value is MISSING and self.source.startswith("/"):
            value = found(row, self.tokens)
        if value is MISSING or (value is None and (self.optional or self.default is not UNSET)):
            if self.default is not UNSET:
                return self.default
            if self.optional:
                return UNSET
            raise ItemError(f"{self.source}: is missing")
        return KINDS[self.kind](value, self.source)


def field_of(text: str, where: str) -> Field:
    """The field that stands between `{{` and `}}`; raises SettingError."""
    match = _FIELD.fullmatch(text)
    if _is_expression(text if match is None else match["source"]):
        raise SettingError(
            f"{where}: {{{{{text}}}}}: is an expression of jinja2, and only fields are allowed here; "
            "--template FIELD=FILE makes a field from others"
        )
    if match is None:
        raise SettingError(f"{where}: {{{{{text}}}}} is no field; expected {{{{ name }}}} or {{{{ name:type }}}}")
    source, kind = match["source"], match["kind"] or "any"
    if kind not in KINDS:
        known = ", ".join(name for name in KINDS if name != "any")
        raise SettingError(f"{where}: {{{{{text}}}}}: unknown type {kind!r}; known are {known}")
    tokens = tokens_of(source, where) if source.startswith("/") else (source,)
    default = UNSET
    if match["default"] is not None:
        if match["optional"]:
            raise SettingError(f"{where}: {{{{{text}}}}}: ? and a default exclude each other")
        default = _default(match["default"], kind, source, f"{where}: {{{{{text}}}}}")
    return Field(source, tokens, kind, bool(match["optional"]), default)


def _is_expression(text: str) -> bool:
    """Whether it has a filter or a condition. A column with such a name is reached by a pointer: {{ /a|b }}."""
    return not text.strip().startswith("/") and re.search(r"\||\bif\b.*\belse\b", text) is not None


def _default(text: str, kind: str, source: str, where: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        raise SettingError(f"{where}: the default {text!r} is not JSON; a text is written in double quotes") from None
    try:
        return KINDS[kind](value, source)
    except ItemError as error:
        raise SettingError(f"{where}: the default: {error}") from error


# Types.


def _any(value: Any, source: str) -> Any:
    return checked_text(value, source) if type(value) is str else value


def as_text(value: Any, source: str) -> str:
    """A text, or a number or boolean as JSON writes it."""
    if type(value) is str:
        return checked_text(value, source)
    if isinstance(value, bool | int | float):
        return _encode(value).decode()
    raise ItemError(f"{source}: is {kind_of(value)}, not a text")


def _number(value: Any, source: str) -> int | float:
    if type(value) is str:
        try:
            value = float(value) if not re.fullmatch(r"\s*[-+]?\d{1,18}\s*", value) else int(value)
        except ValueError:
            raise ItemError(f"{source}: {value[:40]!r} is not a number") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ItemError(f"{source}: is {kind_of(value)}, not a number")
    if not math.isfinite(value):
        raise ItemError(f"{source}: is {value}, which JSON has no number for")
    return value


def _integer(value: Any, source: str) -> int:
    number = _number(value, source)
    if number != int(number):
        raise ItemError(f"{source}: {number!r} is not a whole number")
    return int(number)


def _boolean(value: Any, source: str) -> bool:
    if isinstance(value, bool):
        return value
    known = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
    read = known.get(str(value).strip().lower()) if isinstance(value, str | int) else None
    if read is None:
        raise ItemError(f"{source}: {str(value)[:40]!r} is neither true nor false")
    return read


def _parsed(value: Any, source: str) -> Any:
    """A value, or the JSON in a text."""
    if type(value) is not str:
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ItemError(f"{source}: is a text that is no JSON: {error}") from error


def _list(value: Any, source: str) -> list[Any]:
    read = _parsed(value, source)
    if not isinstance(read, list):
        raise ItemError(f"{source}: is {kind_of(read)}, not a list")
    return read


def _object(value: Any, source: str) -> dict[str, Any]:
    read = _parsed(value, source)
    if not isinstance(read, dict):
        raise ItemError(f"{source}: is {kind_of(read)}, not an object")
    return read


class File(msgspec.Struct, frozen=True):
    """A file that a field names."""

    name: str
    kind: str
    data: bytes


def _file(value: Any, source: str) -> File:
    """The file that the field names, with the media type of its ending."""
    name = as_text(value, source)
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return File(Path(name).name, kind, _bytes(name, source))


def _base64(value: Any, source: str) -> str:
    """The bytes of the file that the field names."""
    return base64.b64encode(_bytes(as_text(value, source), source)).decode()


def _bytes(path: str, source: str) -> bytes:
    try:
        # A pipe without a writer would stop the run.
        if Path(path).exists() and not Path(path).is_file():
            raise ItemError(f"{source}: {path[:80]!r}: is no file")
        with Path(path).open("rb") as file:
            data = file.read(FILE_MAX + 1)
    except (OSError, ValueError) as error:
        raise ItemError(f"{source}: {path[:80]!r}: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > FILE_MAX:
        raise ItemError(f"{source}: {path[:80]!r}: has more than {FILE_MAX} bytes")
    return data


def _data_url(value: Any, source: str) -> str:
    """The same as a URL, with the media type of the file's ending."""
    kind = mimetypes.guess_type(str(value))[0] or "application/octet-stream"
    return f"data:{kind};base64,{_base64(value, source)}"


KINDS: dict[str, Callable[[Any, str], Any]] = {
    "any": _any,
    "text": as_text,
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "list": _list,
    "object": _object,
    "json": _parsed,
    "base64": _base64,
    "data-url": _data_url,
    "file": _file,
}
"""Types of fields."""

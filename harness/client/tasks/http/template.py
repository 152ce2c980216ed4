"""Templates: data with `{{ name }}` in it, compiled once into functions of an item's values.

Rules of this file
  1. A template is data, not text: requests are encoded from values, so that no value can break the JSON, the URL or
     the header that it stands in.
  2. Parts without a field are encoded once. `${NAME}` of the environment is resolved when the template is compiled,
     and only in what the author wrote, never in the value of a field.
  3. The values of an item are a tuple; `Fields` gives each field its place in it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from operator import itemgetter
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec

from harness.client.errors import ItemError, SettingError
from harness.client.tasks.http.fields import KINDS, UNSET, Field, as_text, field_of
from harness.client.transport.environment_values import with_variables

Values = tuple[Any, ...]
Make = Callable[[Any], Any]
"""Makes a value from the values of an item (of each item, inside of a batch)."""

_PLACE = re.compile(r"\{\{(.*?)\}\}", re.S)
_LITERAL = re.compile(r'\s*"((?:[^"\\]|\\.)*)"\s*')
_encode = msgspec.json.Encoder().encode
_SAFE_PATH = "/-._~!$&'()*+,;=:@%"


class Fields:
    """The fields of all templates of a task, each once, with its place among an item's values.

    A field in `settings` has this value for all items, so it is a constant. With `fixed`, other fields with a default
    are constants as well.
    """

    def __init__(self, settings: Mapping[str, str] | None = None, *, fixed: bool = False) -> None:
        self.all: list[Field] = []
        self.settings = dict(settings or {})
        self._fixed = fixed
        # Only parts of a body of the type multipart/form-data carry the bytes of a file.
        self.files_allowed = False
        # The constant ones by their sources.
        self.constant: dict[str, Field] = {}

    def part(self, field: Field, where: str, make: Callable[[int], Make]) -> Part:
        """The part of a template that is this field: a constant, or made from the value at its place."""
        if field.kind == "file" and not (self.files_allowed and make is itemgetter):
            how = "a part of [multipart] alone may be a file; in JSON it is text, by base64 or data-url"
            raise SettingError(f"{where}: {{{{ {field.source}:file }}}}: {how}")
        if field.source in self.settings or (self._fixed and field.default is not UNSET):
            self.constant[field.source] = field
            return Constant(_set_value(field, self.settings.get(field.source), where))
        return Varying(make(self.place(field)), field.optional)

    def place(self, field: Field) -> int:
        """The place of a field; a new one is added."""
        if field not in self.all:
            self.all.append(field)
        return self.all.index(field)

    def values(self, row: Mapping[str, Any]) -> Values:
        """The values of a row; raises ItemError that names the field."""
        return tuple([field.value(row) for field in self.all])


def _set_value(field: Field, given: str | None, where: str) -> Any:
    """The value of a field that is the same for all items; without a type it is JSON where it is JSON."""
    if given is None:
        return field.default
    value: Any = given
    if field.kind == "any":
        with suppress(msgspec.DecodeError):
            value = msgspec.json.decode(given)
    try:
        return KINDS[field.kind](value, field.source)
    except ItemError as error:
        raise SettingError(f"{where}: {field.source}={given}: {error}") from error


class Constant(msgspec.Struct, frozen=True):
    """A part of a template without fields."""

    value: Any


class Varying(msgspec.Struct, frozen=True):
    """A part of a template with fields; `optional` if it may give UNSET."""

    make: Make
    optional: bool = False


Part = Constant | Varying


# Values: JSON.


def value_part(template: Any, fields: Fields, where: str) -> Part:
    """A JSON value with fields in it; raises SettingError."""
    if isinstance(template, str):
        return _text_value(template, fields, where)
    if isinstance(template, dict):
        return _object(template, fields, where)
    if isinstance(template, list):
        return _list([value_part(each, fields, f"{where}[{n}]") for n, each in enumerate(template)])
    if isinstance(template, float) and not math.isfinite(template):
        raise SettingError(f"{where} = {template}: JSON has no number for it")
    try:
        _encode(template)
    except (OverflowError, TypeError, ValueError) as error:
        raise SettingError(f"{where} = {template!r}: cannot be written as JSON: {error}") from error
    return Constant(template)


def body_part(part: Part) -> Callable[[Any], bytes]:
    """A JSON body."""
    if isinstance(part, Constant):
        whole = _encode(part.value)
        return lambda values: whole
    make = part.make
    return lambda values: _encode(make(values))


def _text_value(text: str, fields: Fields, where: str) -> Part:
    """A text that is one field gives the field's value with its type; every other one a text."""
    alone = _PLACE.fullmatch(text.strip())
    if alone is not None and text.count("{{") == 1 and not _LITERAL.fullmatch(alone[1]):
        return fields.part(field_of(alone[1], where), where, itemgetter)
    return text_part(text, fields, where)


def _object(template: Mapping[str, Any], fields: Fields, where: str) -> Part:
    for key in template:
        if "{{" in key or "${" in key:
            raise SettingError(f"{where}: the key {key!r}: fields and variables are allowed in values only")
    parts = {key: value_part(value, fields, f"{where}.{key}") for key, value in template.items()}
    if all(isinstance(part, Constant) for part in parts.values()):
        return Constant(dict(template) if not parts else {key: part.value for key, part in parts.items()})  # type: ignore[union-attr]
    made = [(key, maker(part)) for key, part in parts.items()]
    if not any(isinstance(part, Varying) and part.optional for part in parts.values()):
        return Varying(lambda values: {key: make(values) for key, make in made})

    def present(values: Any) -> dict[str, Any]:
        return {key: value for key, make in made if (value := make(values)) is not UNSET}

    return Varying(present)


def _list(parts: Sequence[Part]) -> Part:
    if all(isinstance(part, Constant) for part in parts):
        return Constant([part.value for part in parts])  # type: ignore[union-attr]
    made = [maker(part) for part in parts]
    return Varying(lambda values: [value for make in made if (value := make(values)) is not UNSET])


def maker(part: Part) -> Make:
    """Constants are encoded once."""
    if isinstance(part, Varying):
        return part.make
    value = part.value if isinstance(part.value, str | int | float | None) else msgspec.Raw(_encode(part.value))
    return lambda values: value


# Texts.


def text_part(text: str, fields: Fields, where: str) -> Part:
    """A text with fields in it; lists and objects stand in it as JSON. Raises SettingError."""
    pieces: list[Part] = []
    for number, piece in enumerate(_PLACE.split(text)):
        if number % 2 == 0:
            _check_marks(piece, where)
            pieces.append(Constant(with_variables(piece, where)))
        elif (literal := _LITERAL.fullmatch(piece)) is not None:
            pieces.append(Constant(_unquoted(literal[0].strip(), where)))
        else:
            pieces.append(_as_text(fields.part(field_of(piece, where), where, _in_text)))
    if all(isinstance(piece, Constant) for piece in pieces):
        return Constant("".join(piece.value for piece in pieces))  # type: ignore[union-attr]
    made = [maker(piece) for piece in pieces if piece != Constant("")]
    return made_text(made)


def _as_text(part: Part) -> Part:
    """A constant value as it stands in a text."""
    return Constant(_in_text(0)((part.value,))) if isinstance(part, Constant) else part


def made_text(made: Sequence[Make]) -> Varying:
    """The joined texts of makers."""
    if len(made) == 1:
        return Varying(made[0])
    return Varying(lambda values: "".join([make(values) for make in made]))


def _check_marks(piece: str, where: str) -> None:
    if "{{" in piece:
        raise SettingError(f"{where}: {{{{ without }}}} in {piece[:60]!r}")
    if "{%" in piece:
        raise SettingError(
            f"{where}: {{% in {piece[:60]!r} begins a statement of jinja2, and only fields are allowed here; "
            """--template FIELD=FILE makes a field from others, and {{ "{%" }} is the text"""
        )


def _unquoted(text: str, where: str) -> str:
    try:
        return str(msgspec.json.decode(text, type=str))
    except msgspec.DecodeError as error:
        raise SettingError(f"{where}: {{{{ {text} }}}}: {error}") from error


def _in_text(place: int) -> Make:
    def make(values: Values) -> str:
        value = values[place]
        if type(value) is str:
            return value
        return "" if value is UNSET or value is None else _encode(value).decode()

    return make


# URLs.


def path_part(path: str, fields: Fields, where: str) -> Part:
    """A path; the values of fields are percent-encoded, and none can become a step of its own or one up."""
    pieces: list[Part] = []
    for number, piece in enumerate(_PLACE.split(path)):
        if number % 2 == 0:
            _check_marks(piece, where)
            pieces.append(Constant(quote(with_variables(piece, where), safe=_SAFE_PATH)))
        else:
            field = field_of(piece, where)
            if field.optional:
                raise SettingError(f"{where}: {{{{{piece}}}}}: a part of a path cannot be left out")
            part = fields.part(field, where, partial(_in_path, source=field.source))
            pieces.append(part if isinstance(part, Varying) else Constant(_path_constant(part.value, field, where)))
    if all(isinstance(piece, Constant) for piece in pieces):
        return Constant("".join(piece.value for piece in pieces))  # type: ignore[union-attr]
    return made_text([maker(piece) for piece in pieces if piece != Constant("")])


def _path_constant(value: Any, field: Field, where: str) -> str:
    try:
        return str(_in_path(0, field.source)((value,)))
    except ItemError as error:
        raise SettingError(f"{where}: {error}") from error


def _in_path(place: int, source: str) -> Make:
    def make(values: Values) -> str:
        text = as_text(values[place], source)
        if text in ("", ".", ".."):
            raise ItemError(f"{source}: {text!r} cannot be a part of a path")
        return quote(text, safe="")

    return make


def pairs_part(pairs: Mapping[str, Any], fields: Fields, where: str) -> Part:
    """`name=value&...`, for a query or a form. A list gives its name several times, a missing optional field none."""
    made: list[tuple[str, Part]] = []
    for name, template in pairs.items():
        part = value_part(template, fields, f"{where}.{name}")
        if isinstance(part, Constant):
            part = Constant(_pair(quote_plus(name), part.value, f"{where}.{name}"))
        made.append((quote_plus(name), part))
    if all(isinstance(part, Constant) for _, part in made):
        return Constant("&".join(filter(None, (part.value for _, part in made))))  # type: ignore[union-attr]

    def make(values: Any) -> str:
        return "&".join(
            filter(
                None,
                [
                    part.value if type(part) is Constant else _pair(name, part.make(values), name)  # type: ignore[union-attr]
                    for name, part in made
                ],
            )
        )

    return Varying(make)


def _pair(name: str, value: Any, where: str) -> str:
    if value is UNSET or value is None:
        return ""
    if isinstance(value, list):
        return "&".join(_pair(name, each, where) for each in value)
    if isinstance(value, dict):
        raise ItemError(f"{where}: is an object, which a query or form cannot carry")
    return f"{name}={quote_plus(value if type(value) is str else as_text(value, where))}"

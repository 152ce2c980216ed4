"""The keys of a task's file that make a request: path, query, headers, body, items of a request.

A header or parameter with the name of a secret and a literal value is refused, because the text of the file goes into
the plan of a run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import msgspec

from harness.client.errors import ItemError, SettingError
from harness.client.redaction import keep
from harness.client.tasks.http.answers import BatchAnswers
from harness.client.tasks.http.batches import Repeated, batched
from harness.client.tasks.http.multipart import multipart_of
from harness.client.tasks.http.pointer import Tokens, tokens_of
from harness.client.tasks.http.table import Table, type_word
from harness.client.tasks.http.template import (
    Constant,
    Fields,
    Make,
    Part,
    body_part,
    pairs_part,
    path_part,
    text_part,
    value_part,
)
from harness.client.transport.connection_settings import SECRET_NAME
from harness.client.transport.endpoint import check_headers, checked_headers
from harness.client.transport.environment_values import has_variable

BODYLESS = frozenset({"GET", "DELETE"})
BATCH_MAX = 100_000
BODY_KEYS = ("body", "form", "multipart", "body_text")
_SECRET_KEYS = frozenset(
    {"api_key", "apikey", "api-key", "password", "passwd", "secret", "client_secret", "access_token"}
)


class Batch(msgspec.Struct, frozen=True):
    """Several items a request."""

    repeated: Repeated
    answers: BatchAnswers
    most: int


def path_of(table: Table, fields: Fields) -> Part:
    """The path."""
    path = table.text("path", "")
    literal = re.sub(r"\{\{.*?\}\}", "", path)
    if path and not path.startswith("/"):
        scheme = "a URL: the server is given with --target" if "://" in path else "expected a path that begins with /"
        raise table.error("path", scheme)
    if any(mark in literal for mark in "?# \t\r\n"):
        raise table.error("path", "has a blank, ? or #; parameters of the query belong under [query]")
    return path_part(path, fields, table.where("path"))


def pairs_of(table: Table, key: str, fields: Fields) -> Part | None:
    """A table of parameters, or none."""
    inner = table.table(key)
    if inner is None:
        return None
    pairs = inner.items()
    for name, value in pairs.items():
        _check_secret(inner.where(name), name, value)
        if isinstance(value, dict):
            raise inner.error(name, "is a table; expected a text, a number, true or false, or a list of them")
    return pairs_part(pairs, fields, inner.where("").rstrip())


def _check_secret(where: str, name: str, value: Any) -> None:
    """Refuse a literal secret."""
    if isinstance(value, str) and SECRET_NAME.search(name) and "{{" not in value and not has_variable(value) and value:
        keep(value)
        raise SettingError(
            f"{where}: has a secret's name and a value in the file; write ${{NAME}}, and set NAME in the environment"
        )


def _check_secrets_in(where: str, value: Any) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.lower() in _SECRET_KEYS:
                _check_secret(f"{where}.{key}", "secret", inner)
            _check_secrets_in(f"{where}.{key}", inner)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            _check_secrets_in(f"{where}[{place}]", inner)


def headers_of(table: Table, fields: Fields) -> tuple[dict[str, str], dict[str, Make]]:
    """Headers that are the same for all items, and those with fields."""
    inner = table.table("headers")
    fixed: dict[str, str] = {}
    varying: dict[str, Make] = {}
    for name, value in ({} if inner is None else inner.items()).items():
        assert inner is not None  # noqa: S101 - it has items
        if not isinstance(value, str):
            raise inner.error(name, f"is {type_word(value)}, not a text")
        _check_secret(inner.where(name), name, value)
        part = text_part(value, fields, inner.where(name))
        if isinstance(part, Constant):
            fixed[name] = part.value
        else:
            varying[name] = _header(part.make, name)
    try:
        checked_headers({**fixed, **dict.fromkeys(varying, "x")})
    except SettingError as error:
        raise SettingError(f"{table.where('[headers]')}: {str(error).removeprefix('headers: ')}") from error
    return checked_headers(fixed), varying


def _header(make: Make, name: str) -> Make:
    def checked(values: Any) -> str:
        value: str = make(values).strip()
        if not value:
            raise ItemError(f"the header {name} would be empty")
        try:
            check_headers({name: value}, "an item")
        except SettingError as error:
            raise ItemError(str(error)) from error
        return value

    return checked


def body_of(
    table: Table, method: str, fields: Fields, batch: Batch | None
) -> tuple[Callable[[Any], bytes] | None, str | None]:
    """The function that makes a body, and its content type."""
    given = [key for key in BODY_KEYS if table.has(key)]
    if len(given) > 1:
        raise table.error(given[1], f"excludes {given[0]}: a request has one body")
    if given and method in BODYLESS:
        raise table.error(given[0], f'a {method} request has no body; use [query], or method = "POST"')
    if batch is not None and given != ["body"]:
        raise SettingError(f"{table.where('[batch]')}: needs a body with the lists of [batch] over")
    body, form, text = table.value("body"), pairs_of(table, "form", fields), table.text("body_text")
    if (parts := _parts_of(table)) is not None:
        return multipart_of(parts, fields, table.where("[multipart]"))
    if form is not None:
        return _texts(form), "application/x-www-form-urlencoded"
    if text is not None:
        return _texts(text_part(text, fields, table.where("body_text"))), "text/plain; charset=utf-8"
    if body is None:
        return None, None
    template, where = _json_template(table, body), table.where("body")
    _check_secrets_in(where, template)
    if batch is not None:
        return body_part(batched(template, batch.repeated, fields, where)), "application/json"
    return body_part(value_part(template, fields, where)), "application/json"


def _parts_of(table: Table) -> dict[str, Any] | None:
    inner = table.table("multipart")
    if inner is None:
        return None
    parts = inner.items()
    if not parts:
        raise SettingError(f"{table.where('[multipart]')}: has no part")
    for name, value in parts.items():
        _check_secret(inner.where(name), name, value)
    return dict(parts)


def _texts(part: Part) -> Callable[[Any], bytes]:
    if isinstance(part, Constant):
        whole = str(part.value).encode()
        return lambda values: whole
    make = part.make
    return lambda values: make(values).encode()


def _json_template(table: Table, body: Any) -> Any:
    """A table or list of TOML, or a text that is JSON (which has null)."""
    if isinstance(body, dict | list):
        return body
    if not isinstance(body, str):
        raise table.error("body", f"is {type_word(body)}; expected a table, a list, or a text with JSON")
    if re.fullmatch(r"\s*\{\{[^{}]*\}\}\s*", body):
        return body
    try:
        return json.loads(body)
    except ValueError as error:
        raise SettingError(
            f'{table.where("body")}: is a text, but not JSON: {error}. A field is in quotes: "{{{{ name }}}}"; plain '
            "text is body_text"
        ) from error


def batch_of(table: Table) -> Batch | None:
    """Several items a request, or none."""
    inner = table.table("batch")
    if inner is None:
        return None
    over = inner.value("over")
    if over is None:
        raise SettingError(f"{inner.where('over')}: is missing: the place of the list in the body, such as '/inputs'")
    tokens = _places(inner, "over", over)
    if not tokens:
        raise inner.error("over", "is an empty list")
    count = _places(inner, "count", inner.value("count", []))
    for one in (*tokens, *count):
        if sum(other[: len(one)] == one for other in (*tokens, *count)) > 1:
            raise inner.error("over", "one of its places lies in another, or in one of count")
    answers = inner.text("answers", "")
    index = inner.text("index")
    most = inner.integer("max", 1, BATCH_MAX, 64)
    flat = inner.boolean("flat", False)
    if flat and index is not None:
        raise inner.error("flat", "excludes index: a flat list has no elements that could have one")
    made = Batch(
        Repeated(tokens, count),
        BatchAnswers(
            tokens_of(answers, inner.where("answers")),
            None if index is None else tokens_of(index, inner.where("index")),
            flat,
        ),
        most or 64,
    )
    inner.end()
    return made


def _places(table: Table, key: str, value: Any) -> tuple[Tokens, ...]:
    """One place, or a list of them."""
    return tuple(tokens_of(place, table.where(key)) for place in (value if isinstance(value, list) else [value]))

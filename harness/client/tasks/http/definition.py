"""A task's TOML file, compiled: how a request is made of an item and an answer is read.

Rules of this file
  1. The file is read and checked once, whole, before anything is sent. The first mistake is one line with file, key and
     value.
  2. Secrets are taken from the environment. A header or parameter with the name of a secret and a literal value is
     refused, because the text of the file goes into the plan of a run.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from typing import Any

import msgspec

from harness.client.errors import ItemError, SettingError
from harness.client.outcome import Outcome
from harness.client.redaction import keep
from harness.client.tasks._said import Usage
from harness.client.tasks.http.answers import (
    READERS,
    AnswerPlaces,
    BatchAnswers,
    Condition,
    OnePlace,
    Place,
    SeveralPlaces,
    Success,
    UsagePlaces,
)
from harness.client.tasks.http.events import StreamForm
from harness.client.tasks.http.pointer import Tokens, tokens_of
from harness.client.tasks.http.table import Table, type_word
from harness.client.tasks.http.template import (
    Constant,
    Fields,
    Make,
    Part,
    batched,
    body_part,
    pairs_part,
    path_part,
    text_part,
    value_part,
)
from harness.client.transport.connection_settings import SECRET_NAME
from harness.client.transport.endpoint import check_headers, checked_headers
from harness.client.transport.environment_values import has_variable
from harness.client.types import ANSWERED

METHODS = ("POST", "GET", "PUT", "PATCH", "DELETE")
BODYLESS = frozenset({"GET", "DELETE"})
FORMATS = ("json", "text")
OUTCOMES = ("bad_response", "rejected", "server_error", "client_error", "timed_out")
BATCH_MAX = 100_000
BODY_KEYS = ("body", "form", "body_text")
_SECRET_KEYS = frozenset(
    {"api_key", "apikey", "api-key", "password", "passwd", "secret", "client_secret", "access_token"}
)
_TESTS = ("exists", "equals", "not_equals", "one_of")


class Batch(msgspec.Struct, frozen=True):
    """Several items a request."""

    over: tuple[Tokens, ...]
    answers: BatchAnswers
    most: int


class Definition(msgspec.Struct, frozen=True):
    """A task, compiled."""

    name: str
    method: str
    path: Part
    query: Part | None
    headers: dict[str, str]  # the same for every item
    item_headers: dict[str, Make]
    body: Callable[[Any], bytes] | None
    form_body: bool  # a value can be refused when the body is made
    answered: frozenset[int]
    idempotent: bool
    form: str
    answer: AnswerPlaces | None
    success: Success
    stream: StreamForm | None
    batch: Batch | None
    usage: UsagePlaces | None
    cache_key: Part | None
    fields: Fields
    text_at: tuple[int, ...]  # places of the field that is the text
    example: dict[str, Any] | None


def parsed(text: str, file: str) -> dict[str, Any]:
    """The TOML document; raises SettingError with line and column."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"{file}: not valid TOML: {error}") from error


def definition(text: str, file: str) -> Definition:
    """Compile a task; raises SettingError for the first mistake."""
    table, fields = Table(file, parsed(text, file)), Fields()
    method = table.text("method", "POST", METHODS)
    path = _path(table, fields)
    query = _pairs(table, "query", fields)
    headers, item_headers = _headers(table, fields)
    batch = _batch(table)
    body, content_type = _body(table, method, fields, batch)
    if content_type not in (None, "application/json") and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = content_type
    success, answered = _success(table)
    usage = _usage(table)
    stream = _stream(table, usage)
    form = table.text("answer_format", "json", FORMATS)
    made = Definition(
        name=_name(table, file),
        method=method,
        path=path,
        query=query,
        headers=headers,
        item_headers=item_headers,
        body=body,
        form_body=table.has("form"),
        answered=answered,
        idempotent=table.boolean("idempotent", True),
        form=form,
        answer=_answer(table, form),
        success=success,
        stream=stream,
        batch=batch,
        usage=usage,
        cache_key=_cache_key(table, fields),
        fields=fields,
        text_at=_text_at(table, fields),
        example=_example(table, fields),
    )
    table.end()
    _check(made, table)
    return made


def _name(table: Table, file: str) -> str:
    name = table.text("name", re.sub(r"\.toml$", "", file.replace("\\", "/").rpartition("/")[2]) or "http")
    if not re.fullmatch(r"[\w][\w .-]{0,59}", name):
        raise table.error("name", "expected up to 60 letters, digits, blanks, dots and dashes")
    return str(name)


def _path(table: Table, fields: Fields) -> Part:
    path = table.text("path", "")
    literal = re.sub(r"\{\{.*?\}\}", "", path)
    if path and not path.startswith("/"):
        scheme = "a URL: the server is given with --target" if "://" in path else "expected a path that begins with /"
        raise table.error("path", scheme)
    if any(mark in literal for mark in "?# \t\r\n"):
        raise table.error("path", "has a blank, ? or #; parameters of the query belong under [query]")
    return path_part(path, fields, table.where("path"))


def _pairs(table: Table, key: str, fields: Fields) -> Part | None:
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


def _headers(table: Table, fields: Fields) -> tuple[dict[str, str], dict[str, Make]]:
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


# The body.


def _body(
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
    body, form, text = table.value("body"), _pairs(table, "form", fields), table.text("body_text")
    if form is not None:
        return _texts(form), "application/x-www-form-urlencoded"
    if text is not None:
        return _texts(text_part(text, fields, table.where("body_text"))), "text/plain; charset=utf-8"
    if body is None:
        return None, None
    template, where = _json_template(table, body), table.where("body")
    _check_secrets_in(where, template)
    if batch is not None:
        return body_part(batched(template, batch.over, fields, where)), "application/json"
    return body_part(value_part(template, fields, where)), "application/json"


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


def _batch(table: Table) -> Batch | None:
    inner = table.table("batch")
    if inner is None:
        return None
    over = inner.value("over")
    if over is None:
        raise SettingError(f"{inner.where('over')}: is missing: the place of the list in the body, such as '/inputs'")
    places = over if isinstance(over, list) else [over]
    if not places:
        raise inner.error("over", "is an empty list")
    tokens = tuple(tokens_of(place, inner.where("over")) for place in places)
    for one in tokens:
        if any(one != other and other[: len(one)] == one for other in tokens) or tokens.count(one) > 1:
            raise inner.error("over", "one of its places lies in another")
    answers = inner.text("answers", "")
    index = inner.text("index")
    most = inner.integer("max", 1, BATCH_MAX, 64)
    made = Batch(
        tokens,
        BatchAnswers(
            tokens_of(answers, inner.where("answers")),
            None if index is None else tokens_of(index, inner.where("index")),
        ),
        most or 64,
    )
    inner.end()
    return made


# The answer.


def _success(table: Table) -> tuple[Success, frozenset[int]]:
    inner = table.table("success")
    if inner is None:
        return Success(), ANSWERED
    answered = _statuses(inner)
    when = inner.value("when", [])
    conditions = tuple(_condition(inner, "when", one) for one in (when if isinstance(when, list) else [when]))
    message = inner.text("message")
    otherwise = inner.text("otherwise", "bad_response", OUTCOMES)
    made = Success(
        conditions, None if message is None else tokens_of(message, inner.where("message")), Outcome[otherwise]
    )
    inner.end()
    return made, answered


def _statuses(inner: Table) -> frozenset[int]:
    value = inner.value("status")
    if value is None:
        return ANSWERED
    statuses = value if isinstance(value, list) else [value]
    for status in statuses:
        if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
            raise inner.error("status", f"{status!r} is not a status of HTTP from 200 to 599")
    if not statuses:
        raise inner.error("status", "is an empty list: no answer could be a success")
    return frozenset(statuses)


def _condition(inner: Table, key: str, value: Any) -> Condition:
    if not isinstance(value, dict):
        raise inner.error(key, f'is {type_word(value)}; expected {{ at = "/code", equals = 0 }}')
    table = Table(inner.where(key), value)
    at = tokens_of(table.value("at", ""), table.where("at"))
    tests = [test for test in _TESTS if table.has(test)]
    if len(tests) != 1:
        found = f"has {' and '.join(tests)}" if tests else "has no test"
        raise SettingError(f"{inner.where(key)}: {found}; expected one of {', '.join(_TESTS)}")
    test = tests[0]
    wanted = table.boolean(test, True) if test == "exists" else table.value(test)
    if test == "one_of" and (not isinstance(wanted, list) or not wanted):
        raise table.error(test, f"is {type_word(wanted)}; expected a list of values")
    for other in _TESTS:
        table.value(other)
    table.end()
    return Condition(at, test, wanted)


def _answer(table: Table, form: str) -> AnswerPlaces | None:
    value = table.value("answer")
    if value is None:
        return None
    where = table.where("answer")
    if isinstance(value, str) or (isinstance(value, dict) and "at" in value):
        return OnePlace(_place(value, where))
    if not isinstance(value, dict) or not value:
        raise table.error("answer", f"is {type_word(value)}; expected a JSON Pointer, or a table of names and pointers")
    return SeveralPlaces({name: _place(one, f"{where}.{name}") for name, one in value.items()})


def _place(value: Any, where: str) -> Place:
    if isinstance(value, str):
        return Place(tokens_of(value, where))
    if not isinstance(value, dict):
        raise SettingError(
            f"{where}: is {type_word(value)}; expected a JSON Pointer, or {{ at = POINTER, type = ... }}"
        )
    table = Table(where, value)
    tokens = tokens_of(table.value("at", ""), table.where("at"))
    kind = table.text("type", "any", tuple(READERS))
    place = Place(tokens, kind, table.boolean("optional", False), table.number("min"), table.number("max"))
    table.end()
    if place.low is not None and place.high is not None and place.low > place.high:
        raise table.error("min", f"must be at most max = {place.high:g}")
    return place


def _usage(table: Table) -> UsagePlaces | None:
    inner = table.table("usage")
    if inner is None:
        return None
    places = {
        name: tokens_of(at, inner.where(name))
        for name in Usage.__struct_fields__
        if (at := inner.value(name)) is not None
    }
    inner.end()
    if not places:
        raise SettingError(f"{table.where('[usage]')}: is empty; known are {', '.join(Usage.__struct_fields__)}")
    return UsagePlaces(places)


def _stream(table: Table, usage: UsagePlaces | None) -> StreamForm | None:
    inner = table.table("stream")
    if inner is None:
        return None
    lines = inner.text("format", "sse", ("sse", "json-lines")) == "json-lines"
    text = inner.value("text")
    if text is None and lines:
        raise SettingError(f"{inner.where('text')}: is missing: the place of the text in each line, such as '/delta'")
    end: Any = inner.value("end", "close" if lines else "[DONE]")
    if isinstance(end, dict):
        end = _condition(inner, "end", end)
    elif not isinstance(end, str) or not end:
        raise inner.error("end", 'expected "close", a payload such as "[DONE]", or { at = "/done", equals = true }')
    elif end != "close":
        end = end.encode()
    error = inner.value("error", "/error")
    form = StreamForm(
        lines,
        None if text is None else tokens_of(text, inner.where("text")),
        end,
        tokens_of(error, inner.where("error")),
        usage,
    )
    inner.end()
    return form


# Keys for layers, and examples.


def _cache_key(table: Table, fields: Fields) -> Part | None:
    text = table.text("cache_key")
    if text is None:
        return None
    part = text_part(text, fields, table.where("cache_key"))
    if isinstance(part, Constant):
        raise table.error("cache_key", "has no field of the item; all items would have the same answer")
    return part


def _text_at(table: Table, fields: Fields) -> tuple[int, ...]:
    source = table.text("text")
    if source is None:
        return ()
    places = tuple(n for n, field in enumerate(fields.all) if field.source == source and field.kind in ("any", "text"))
    if not places:
        known = ", ".join(sorted({field.source for field in fields.all})) or "none"
        raise table.error("text", f"is not a field of the templates that is a text; fields: {known}")
    return places


def _example(table: Table, fields: Fields) -> dict[str, Any] | None:
    inner = table.table("example")
    if inner is None:
        return None
    example = dict(inner.items())
    try:
        fields.values(example)
    except ItemError as error:
        raise SettingError(f"{table.where('[example]')}: {error}") from error
    return example


def _check(made: Definition, table: Table) -> None:
    """Parts that exclude or need each other."""
    if made.answer is None and made.stream is None and made.form == "json":
        raise SettingError(
            f"{table.where('answer')}: is missing: where the answer is, such as '/data/score'; '' is the whole body"
        )
    if made.form == "text" and made.answer is not None:
        raise SettingError(f"{table.where('answer')}: a text has no places; leave it out")
    if made.form == "text" and (made.success.conditions or made.usage or made.batch):
        raise SettingError(f"{table.where('answer_format')} = 'text': [success] when, [usage] and [batch] need JSON")
    if made.batch is not None and made.stream is not None:
        raise SettingError(f"{table.where('[batch]')}: a stream answers one item; leave out [batch] or [stream]")
    if made.batch is not None and (
        made.item_headers or isinstance(made.path, Constant) is False or _varies(made.query)
    ):
        raise SettingError(
            f"{table.where('[batch]')}: path, query and headers are of all items: no {{{{ field }}}} in them"
        )
    if not made.fields.all:
        raise SettingError(f"{table.where('body')}: no template has a {{{{ field }}}}: every request would be the same")


def _varies(part: Part | None) -> bool:
    return part is not None and not isinstance(part, Constant)


def file_text(file: str) -> str:
    """The text of a task's file; raises SettingError."""
    from pathlib import Path

    path = Path(file)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SettingError(f"{file}: {error.strerror or error}") from error
    try:
        return data.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        raise SettingError(f"{file}: is not UTF-8: {error}") from error

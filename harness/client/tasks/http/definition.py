"""A task's TOML file, compiled: how a request is made of an item and an answer is read.

Rules of this file
  1. The file is read and checked once, whole, before anything is sent. The first mistake is one line with file, key and
     value.
  2. Secrets are taken from the environment: the text of the file goes into the plan of a run.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from harness.client.errors import ItemError, SettingError
from harness.client.tasks.http.answer_keys import answer_of, one_for_of, stream_of, success_of, usage_of
from harness.client.tasks.http.answers import AnswerPlaces, UsagePlaces
from harness.client.tasks.http.conditions import Success
from harness.client.tasks.http.events import StreamForm
from harness.client.tasks.http.one_for import OneFor
from harness.client.tasks.http.request_keys import Batch, batch_of, body_of, headers_of, pairs_of, path_of
from harness.client.tasks.http.table import Table
from harness.client.tasks.http.template import Constant, Fields, Make, Part, text_part

METHODS = ("POST", "GET", "PUT", "PATCH", "DELETE")
FORMATS = ("json", "text")


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
    one_for: OneFor | None
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


def definition(text: str, file: str, settings: Mapping[str, str] | None = None) -> Definition:
    """Compile a task, with some fields set; raises SettingError for the first mistake."""
    try:
        return _definition(text, file, settings)
    except RecursionError as error:
        raise SettingError(f"{file}: lists or tables are nested too deeply") from error


def _definition(text: str, file: str, settings: Mapping[str, str] | None) -> Definition:
    table, fields = Table(file, parsed(text, file)), Fields(settings)
    method = table.text("method", "POST", METHODS)
    batch = batch_of(table)
    # Path, query and headers of several items are the same for all of them.
    common = fields if batch is None else Fields(settings, fixed=True)
    path = path_of(table, common)
    query = pairs_of(table, "query", common)
    headers, item_headers = headers_of(table, common)
    fields.constant |= common.constant
    body, content_type = body_of(table, method, fields, batch)
    _set_content_type(table, headers, content_type)
    success, answered = success_of(table)
    usage = usage_of(table)
    stream = stream_of(table, usage)
    form = table.text("answer_format", "json", FORMATS)
    made = Definition(
        name=_name(table, file),
        method=method,
        path=path,
        query=query,
        headers=headers,
        item_headers=item_headers,
        body=body,
        form_body=table.has("form") or table.has("multipart"),
        answered=answered,
        idempotent=table.boolean("idempotent", True),
        form=form,
        answer=answer_of(table),
        one_for=one_for_of(table, fields),
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
    _check_settings(fields, file)
    _check(made, table, common)
    return made


def _set_content_type(table: Table, headers: dict[str, Any], of_body: str | None) -> None:
    """Add the content type of the body, unless the file gives one."""
    own = next((name for name in headers if name.lower() == "content-type"), None)
    if own is not None and table.has("multipart"):
        raise SettingError(f"{table.where('[headers]')} {own}: [multipart] sets it, with the boundary of the parts")
    if of_body not in (None, "application/json") and own is None:
        headers["Content-Type"] = of_body


def _name(table: Table, file: str) -> str:
    name = table.text("name", re.sub(r"\.toml$", "", file.replace("\\", "/").rpartition("/")[2]) or "http")
    if not re.fullmatch(r"[\w][\w .-]{0,59}", name):
        raise table.error("name", "expected up to 60 letters, digits, blanks, dots and dashes")
    return str(name)


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


def _check_settings(fields: Fields, file: str) -> None:
    """Every field that is set is one of the templates."""
    known = sorted({*fields.constant, *(field.source for field in fields.all)})
    for name in fields.settings:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise SettingError(f"{file}: has no field {name} to set{hint}; its fields are {', '.join(known)}")


def _check(made: Definition, table: Table, common: Fields) -> None:
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
    if made.batch is not None and made.one_for is not None:
        raise SettingError(f"{table.where('answer')}: one_for excludes [batch]: it is about one item")
    if made.batch is not None and common.all:
        name = common.all[0].source
        raise SettingError(
            f"{table.where('[batch]')}: path, query and headers are the same for all items of a request, and "
            f"{{{{ {name} }}}} stands in them: set it with --http {table.file}:{name}=VALUE, or give it a default"
        )
    if not made.fields.all:
        raise SettingError(f"{table.where('body')}: no template has a {{{{ field }}}}: every request would be the same")

"""JSON Pointers (RFC 6901): `/data/score` is the place of a value in a JSON document, the empty pointer all of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from harness.client.errors import SettingError

Tokens = tuple[str, ...]
SHOWN_MAX = 8
MISSING: Any = object()
_SHOWN = 80


def tokens_of(text: Any, where: str) -> Tokens:
    """The steps of a pointer; raises SettingError that begins with `where`."""
    if not isinstance(text, str):
        raise SettingError(f"{where} = {text!r}: expected a JSON Pointer such as '/data/score'")
    if text and not text.startswith("/"):
        meant = "/" + text.replace(".", "/")
        raise SettingError(f"{where} = {text[:_SHOWN]!r}: a JSON Pointer begins with /: {meant[:_SHOWN]!r}")
    if re.search(r"~(?![01])", text):
        raise SettingError(f"{where} = {text[:_SHOWN]!r}: in a JSON Pointer ~ is written ~0, and / within a name ~1")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


def pointer(tokens: Tokens) -> str:
    """The pointer of these steps."""
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in tokens)


def found(value: Any, tokens: Tokens) -> Any:
    """The value at a place; MISSING where there is none."""
    for token in tokens:
        if type(value) is dict:
            value = value.get(token, MISSING)
            if value is MISSING:
                return MISSING
        elif type(value) is list and token.isdecimal() and int(token) < len(value):
            value = value[int(token)]
        else:
            return MISSING
    return value


def why_missing(value: Any, tokens: Tokens) -> str:
    """The content of the document at the step where a place ends."""
    for number, token in enumerate(tokens):
        step = found(value, (token,))
        if step is MISSING:
            at = f"{pointer(tokens[:number])} " if number else "the answer "
            return at + _described(value)
        value = step
    return "it is there"


def _described(value: Any) -> str:
    if isinstance(value, dict):
        keys = [str(key) for key in list(value)[:SHOWN_MAX]]
        more = ", ..." if len(value) > SHOWN_MAX else ""
        return f"has only {', '.join(keys)}{more}" if keys else "is an empty object"
    if isinstance(value, list):
        return f"is a list of {len(value)}"
    return f"is {kind_of(value)}, not an object"


def kind_of(value: Any) -> str:
    """The JSON type of a value, in words."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def places(value: Any, at: Tokens = (), depth: int = 6) -> Iterator[tuple[str, Any]]:
    """Every place of a document with its value, objects and the first element of lists opened; for hints."""
    yield pointer(at), value
    if depth and isinstance(value, dict):
        for key, inner in list(value.items())[:50]:
            yield from places(inner, (*at, str(key)), depth - 1)
    elif depth and isinstance(value, list) and value:
        yield from places(value[0], (*at, "0"), depth - 1)

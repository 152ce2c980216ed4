"""Converts TOML to checked settings. An error names the key, its value and the allowed values, in one line."""

from __future__ import annotations

import difflib
import re
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from mock_server.profile import Profile

_PLACE = re.compile(r" - at `\$\.?([^`]*)`$")
_UNKNOWN = re.compile(r"unknown field `([^`]+)`")
_MISSING = re.compile(r"missing required field `([^`]+)`")


class ProfileError(ValueError):
    """A profile that cannot be used; the message is one line for the user."""


class Key(msgspec.Struct, frozen=True):
    """One key of the settings reference."""

    name: str  # with [] for tables that repeat
    type: str
    allowed: str
    default: str
    meaning: str


def convert(data: dict[str, Any], type: Any, where: str) -> Any:
    """`data` as `type`; raises `ProfileError` that starts with `where`."""
    try:
        return msgspec.convert(data, type)
    except msgspec.ValidationError as error:
        raise ProfileError(f"{where}: {_explain(str(error), data, type)}") from None


def _explain(message: str, data: Any, type: Any) -> str:
    place = _PLACE.search(message)
    path = place.group(1) if place else ""
    text = _PLACE.sub("", message)
    unknown = _UNKNOWN.search(text)
    if unknown:
        key = ".".join(part for part in (path, unknown.group(1)) if part)
        known = {part for entry in reference(type) for part in entry.name.replace("[]", "").split(".")}
        near = difflib.get_close_matches(unknown.group(1), sorted(known - {unknown.group(1)}), n=3)
        return f"unknown key {key}" + (f"; did you mean {', '.join(near)}?" if near else "")
    missing = _MISSING.search(text)
    if missing:
        return f"{'.'.join(part for part in (path, missing.group(1)) if part)}: is required"
    keys = {entry.name: entry for entry in reference(type)}
    key_info = keys.get(re.sub(r"\[(\d+|\.\.\.)\]", "[]", path))
    allowed = f"; allowed: {key_info.allowed}" if key_info and key_info.allowed else ""
    return f"{path or 'the file'} = {_value_at(data, path)!r}: {text[:1].lower()}{text[1:].replace('`', '')}{allowed}"


def _value_at(data: Any, path: str) -> Any:
    for part in re.findall(r"[^.\[\]]+", path):
        try:
            data = data[int(part)] if isinstance(data, list | tuple) else data[part]
        except (KeyError, IndexError, ValueError, TypeError):
            return "?"
    return data


@cache
def reference(type: Any = Profile) -> tuple[Key, ...]:
    """Every key of a settings class, nested keys included, in the order of the class."""
    return tuple(_keys(inspect.type_info(type), ""))


def _keys(info: inspect.Type, prefix: str) -> list[Key]:
    keys: list[Key] = []
    assert isinstance(info, inspect.StructType)  # noqa: S101 - only ever called with settings classes
    for field in info.fields:
        if prefix == "" and field.name in ("name", "summary"):
            continue
        kind, meaning = _unwrap(field.type)
        name = f"{prefix}{field.encode_name}"
        if isinstance(kind, inspect.StructType):
            keys += _keys(kind, f"{name}.")
        elif isinstance(kind, inspect.VarTupleType) and isinstance(kind.item_type, inspect.StructType):
            keys += _keys(kind.item_type, f"{name}[].")
        elif isinstance(kind, inspect.UnionType) and all(isinstance(t, inspect.StructType) for t in kind.types):
            variants = [t for t in kind.types if isinstance(t, inspect.StructType)]
            tags = ", ".join(str(variant.tag) for variant in variants)
            keys.append(Key(f"{name}.kind", "text", tags, str(_default(field)["kind"]), meaning))
            for variant in variants:
                keys += [
                    Key(key.name, key.type, key.allowed, key.default, f"{key.meaning} ({variant.tag})")
                    for key in _keys(variant, f"{name}.")
                ]
        else:
            keys.append(Key(name, _type_name(kind), _allowed(kind), _default_text(field), meaning))
    return keys


def _unwrap(info: inspect.Type) -> tuple[inspect.Type, str]:
    meaning = ""
    while isinstance(info, inspect.Metadata):
        meaning = (info.extra_json_schema or {}).get("description", meaning)
        info = info.type
    return info, meaning


def _default(field: inspect.Field) -> Any:
    return msgspec.to_builtins(field.default if field.default is not msgspec.NODEFAULT else field.default_factory())


def _default_text(field: inspect.Field) -> str:
    if field.required:
        return "required"
    value = _default(field)
    return "" if value is None or value in ([], (), {}) else f"{value:g}" if isinstance(value, float) else str(value)


def _type_name(info: inspect.Type) -> str:
    names = {
        inspect.FloatType: "number",
        inspect.IntType: "integer",
        inspect.StrType: "text",
        inspect.BoolType: "true/false",
        inspect.LiteralType: "one of",
        inspect.VarTupleType: "list",
    }
    if isinstance(info, inspect.UnionType):
        return _type_name(next(_unwrap(t)[0] for t in info.types if not isinstance(t, inspect.NoneType)))
    return names.get(info.__class__, "table")


def _allowed(info: inspect.Type) -> str:
    info, _ = _unwrap(info)
    if isinstance(info, inspect.UnionType):
        return next(filter(None, map(_allowed, info.types)), "")
    if isinstance(info, inspect.LiteralType):
        return ", ".join(str(value) for value in info.values)
    if isinstance(info, inspect.FloatType | inspect.IntType):
        low = f">= {_short(info.ge)}" if info.ge is not None else f"> {_short(info.gt)}" if info.gt is not None else ""
        high = f"<= {_short(info.le)}" if info.le is not None else f"< {_short(info.lt)}" if info.lt is not None else ""
        return " and ".join(part for part in (low, high) if part)
    return ""


def _short(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"


def reference_table(type: Any = Profile) -> str:
    """The reference as a Markdown table, one line per key."""
    lines = ["| Key | Type | Allowed | Default | Meaning |", "|---|---|---|---|---|"]
    lines += [
        f"| `{key.name}` | {key.type} | {key.allowed} | {key.default} | {key.meaning} |" for key in reference(type)
    ]
    return "\n".join(lines)

"""Schemas that hold together, as one: of `allOf`, of a reference beside other keywords, of a chosen alternative."""

from __future__ import annotations

import math
from typing import Any

from model_server.structured.bounds import SchemaError
from model_server.structured.fitting import same
from model_server.structured.keywords import TYPES

_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


def merged(one: dict[str, Any], other: dict[str, Any], path: str) -> dict[str, Any]:
    """A schema that asks for all that both ask for; raises `SchemaError` if nothing can fit both."""
    found = dict(one)
    for name, value in other.items():
        found[name] = value if name not in found else _both(name, found[name], value, path)
    return found


def _both(name: str, one: Any, other: Any, path: str) -> Any:
    if name == "type":
        return _types(one, other, path)
    if name == "enum":
        return _common(one, [value for value in one if any(same(value, more) for more in other)], path)
    if name == "required":
        return list(dict.fromkeys([*one, *other]))
    if name == "properties":
        return {**one, **{key: {"allOf": [one[key], more]} if key in one else more for key, more in other.items()}}
    if name in ("items", "additionalProperties"):
        return other if one is True else one if other is True else {"allOf": [one, other]}
    if name in _LEAST:
        return max(one, other)
    if name in _MOST:
        return min(one, other)
    if name == "multipleOf":
        return _multiples(one, other, path)
    if name == "const" and not same(one, other):
        raise SchemaError(path, "asks for two different constants")
    if name == "pattern" and one != other:
        raise SchemaError(path, "asks for two patterns at once, which is not supported by this server")
    return one or other if name == "uniqueItems" else other


def _multiples(one: Any, other: Any, path: str) -> Any:
    if isinstance(one, int) and isinstance(other, int):
        return math.lcm(one, other)
    if one != other:
        raise SchemaError(path, "asks for multiples of two numbers that are not whole")
    return one


def _types(one: Any, other: Any, path: str) -> list[str]:
    left, right = ([value] if isinstance(value, str) else value for value in (one, other))
    allowed = [kind for kind in TYPES if _allows(left, kind) and _allows(right, kind)]
    return _common(left, allowed, path)


def _allows(types: list[str], kind: str) -> bool:
    return kind in types or (kind == "integer" and "number" in types)


def _common(given: list[Any], found: list[Any], path: str) -> list[Any]:
    if not found:
        raise SchemaError(path, f"nothing is both in {given} and in the other schema")
    return found

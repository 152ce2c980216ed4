"""Whether a value fits a schema; patterns and formats are not looked at, because texts are made to match them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import msgspec

from model_server.structured.keywords import is_number, resolved

STEPS_MAX = 100_000
# Less than any difference of two numbers of JSON that are not equal.
_LEAST = Fraction(1, 1 << 2000)
_KINDS: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "number": is_number,
    "integer": lambda value: is_number(value) and value == int(value),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "null": lambda value: value is None,
}


def fits(value: Any, schema: Any, root: Any) -> bool:
    """True if the value is valid; false also if that is not found within `STEPS_MAX` steps."""
    return _Fitting(root)(value, schema)


class _Fitting:
    """One validation: references within a schema can make its steps grow without bound, so they are counted."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._left = STEPS_MAX

    def __call__(self, value: Any, schema: Any) -> bool:
        self._left -= 1
        if isinstance(schema, bool) or self._left < 0:
            return schema is True and self._left >= 0
        if not _plain(value, schema):
            return False
        if "$ref" in schema and not self(value, resolved(self._root, schema["$ref"], "$ref")):
            return False
        return self._combined(value, schema) and self._parts(value, schema)

    def _combined(self, value: Any, schema: dict[str, Any]) -> bool:
        if not all(self(value, one) for one in schema.get("allOf", ())):
            return False
        if "anyOf" in schema and not any(self(value, one) for one in schema["anyOf"]):
            return False
        return "oneOf" not in schema or sum(self(value, one) for one in schema["oneOf"]) == 1

    def _parts(self, value: Any, schema: dict[str, Any]) -> bool:
        if isinstance(value, list):
            first = schema.get("prefixItems", [])
            if not all(self(one, rule) for one, rule in zip(value, first, strict=False)):
                return False
            return "items" not in schema or all(self(one, schema["items"]) for one in value[len(first) :])
        if isinstance(value, dict):
            named, others = schema.get("properties", {}), schema.get("additionalProperties", True)
            return all(self(one, named.get(name, others)) for name, one in value.items())
        return True


def _plain(value: Any, schema: dict[str, Any]) -> bool:
    """The keywords that hold no other schema."""
    types = schema.get("type")
    if types is not None and not any(_KINDS[kind](value) for kind in ([types] if isinstance(types, str) else types)):
        return False
    if "enum" in schema and not any(same(value, one) for one in schema["enum"]):
        return False
    if "const" in schema and not same(value, schema["const"]):
        return False
    if isinstance(value, str):
        return _counted(len(value), schema, "Length")
    if is_number(value):
        return _number(value, schema)
    if isinstance(value, list):
        return _counted(len(value), schema, "Items") and (schema.get("uniqueItems") is not True or _different(value))
    if isinstance(value, dict):
        required = schema.get("required", ())
        return _counted(len(value), schema, "Properties") and all(name in value for name in required)
    return True


def _counted(count: int, schema: dict[str, Any], what: str) -> bool:
    return bool(schema.get(f"min{what}", 0) <= count <= schema.get(f"max{what}", count))


def _different(values: list[Any]) -> bool:
    return len({msgspec.json.encode(one, order="sorted") for one in values}) == len(values)


def _number(value: Any, schema: dict[str, Any]) -> bool:
    exact = Fraction(value)
    for least, opened, sign in (("minimum", "exclusiveMinimum", 1), ("maximum", "exclusiveMaximum", -1)):
        bound, strict = schema.get(least), schema.get(opened)
        if bound is not None and (sign * (exact - Fraction(bound)) < (0 if strict is not True else _LEAST)):
            return False
        if strict is not None and not isinstance(strict, bool) and sign * (exact - Fraction(strict)) <= 0:
            return False
    step = schema.get("multipleOf")
    return step is None or (Fraction(str(value)) / Fraction(str(step))).denominator == 1


def same(one: Any, other: Any) -> bool:
    """Equality in JSON: 1 and 1.0 are equal, 1 and true are not."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)

"""The check of a schema before anything is made: its keywords, their types, its depth and its references."""

from __future__ import annotations

from typing import Any

from model_server.structured.bounds import DEPTH_MAX, SCHEMAS_MAX, SchemaError

TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")
_UNSUPPORTED = frozenset(
    {
        *("not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies", "patternProperties"),
        *("propertyNames", "contains", "minContains", "maxContains", "unevaluatedProperties", "unevaluatedItems"),
        *("$dynamicRef", "$recursiveRef"),
    }
)
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_NUMBERS = ("minimum", "maximum", "multipleOf")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPS = ("properties", "$defs", "definitions")
_ONE = ("items", "additionalProperties")
_SHOWN = 60
"""Characters of a client's value in a message."""
_DIGITS = 9
"""A place in a list has fewer."""


class SchemaCheck:
    """Walks once through a schema; raises `SchemaError` at the first mistake."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._seen = 0
        # Schemas that were checked, by identity: a target of a reference may stand anywhere in the document.
        self._known: set[int] = set()
        self._targets: list[tuple[Any, str]] = []

    def check(self, schema: Any, path: str) -> None:
        """A schema, those inside it, and those that it refers to."""
        self._targets.append((schema, path))
        while self._targets:
            self._walk(*self._targets.pop(), 0)

    def _walk(self, schema: Any, path: str, depth: int) -> None:
        self._seen += 1
        if self._seen > SCHEMAS_MAX:
            raise SchemaError(path, f"has more than {SCHEMAS_MAX} schemas within it")
        if depth > DEPTH_MAX:
            raise SchemaError(path, f"is nested more than {DEPTH_MAX} levels deep")
        if isinstance(schema, bool):
            return
        if not isinstance(schema, dict):
            raise SchemaError(path, "must be a JSON Schema, which is an object or a boolean")
        if id(schema) in self._known:
            return
        self._known.add(id(schema))
        _own(schema, path)
        if "$ref" in schema:
            place = f"{path}.$ref"
            self._targets.append((resolved(self._root, schema["$ref"], place), place))
        for place, inner in _inner(schema, path):
            self._walk(inner, place, depth + 1)


def _own(schema: dict[str, Any], path: str) -> None:
    """The keywords of this schema itself."""
    if wrong := sorted(_UNSUPPORTED & schema.keys()):
        raise SchemaError(f"{path}.{wrong[0]}", "this keyword of JSON Schema is not supported by this server")
    types = schema.get("type")
    given = types if isinstance(types, list) else [] if types is None else [types]
    if wrong := [one for one in given if one not in TYPES] or (["[]"] if types == [] else []):
        raise SchemaError(f"{path}.type", f"{repr(wrong[0])[:_SHOWN]} is not one of {', '.join(TYPES)}")
    for name in _COUNTS:
        if name in schema and (type(schema[name]) is not int or schema[name] < 0):
            raise SchemaError(f"{path}.{name}", "must be an integer >= 0")
    for name in _NUMBERS:
        if name in schema and not is_number(schema[name]):
            raise SchemaError(f"{path}.{name}", "must be a number")
    for name in ("exclusiveMinimum", "exclusiveMaximum"):
        if name in schema and not (is_number(schema[name]) or isinstance(schema[name], bool)):
            raise SchemaError(f"{path}.{name}", "must be a number")
    if schema.get("multipleOf", 1) <= 0:
        raise SchemaError(f"{path}.multipleOf", "must be a number > 0")
    _texts(schema, path)


def _texts(schema: dict[str, Any], path: str) -> None:
    for name in ("pattern", "format"):
        if name in schema and not isinstance(schema[name], str):
            raise SchemaError(f"{path}.{name}", "must be a text")
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise SchemaError(f"{path}.required", "must be a list of names")
    if "enum" in schema and (not isinstance(schema["enum"], list) or not schema["enum"]):
        raise SchemaError(f"{path}.enum", "must be a list of at least one value")


def _inner(schema: dict[str, Any], path: str) -> list[tuple[str, Any]]:
    """The schemas inside, each with its place."""
    found: list[tuple[str, Any]] = []
    for name in _LISTS:
        if name in schema:
            if not isinstance(schema[name], list) or not schema[name]:
                raise SchemaError(f"{path}.{name}", "must be a list of at least one schema")
            found += [(f"{path}.{name}[{place}]", one) for place, one in enumerate(schema[name])]
    for name in _MAPS:
        if name in schema:
            if not isinstance(schema[name], dict):
                raise SchemaError(f"{path}.{name}", "must be an object of schemas")
            found += [(f"{path}.{name}.{key}", one) for key, one in schema[name].items()]
    found += [(f"{path}.{name}", schema[name]) for name in _ONE if name in schema]
    return found


def is_number(value: Any) -> bool:
    """True for a number of JSON, which a boolean is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def resolved(root: Any, reference: Any, path: str) -> Any:
    """The schema that a reference within the document means."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise SchemaError(path, "must be a reference within the schema, such as #/$defs/name")
    found = root
    for part in reference[1:].split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and key.isdecimal() and len(key) < _DIGITS and int(key) < len(found):
            found = found[int(key)]
        elif isinstance(found, dict) and key in found:
            found = found[key]
        else:
            raise SchemaError(path, f"{reference[:_SHOWN]} is not in the schema")
    return found

"""Values that fit a schema, drawn with a seeded random generator.

Rules of this file
  1. Each value is checked against the whole schema. If alternatives overlap or a drawn value does not fit, it is
     drawn again, a few times; then the schema is refused.
  2. From `DEPTH_LEAN` on, or if asked, only what has to be there is made, and the plainest alternative is tried first.
"""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec

from model_server.structured.bounds import (
    CHARS_MAX,
    DEPTH_LEAN,
    DEPTH_MAX,
    STEPS_MAX,
    TRIES,
    VALUES_MAX,
    Budget,
    SchemaError,
)
from model_server.structured.fitting import fits
from model_server.structured.keywords import SchemaCheck, resolved
from model_server.structured.merging import merged
from model_server.structured.numbers import number
from model_server.structured.texts import text

ANY_OBJECT: dict[str, Any] = {
    "type": "object",
    "properties": {"answer": {"type": "string"}, "confident": {"type": "boolean"}},
    "required": ["answer", "confident"],
}
"""The schema for a model that has to answer with any JSON object."""

_HINTS = {
    "object": ("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


def value(schema: Any, random: Random, path: str, *, lean: bool = False) -> Any:
    """A value that fits the schema, whose place in the request is `path`; with `lean` a small one.

    Raises `SchemaError`.
    """
    SchemaCheck(schema).check(schema, path)
    try:
        return _drawn(schema, random, path, lean=lean)
    except SchemaError:
        # A rich value may be too large where a small one is not.
        if lean:
            raise
        return _drawn(schema, random, path, lean=True)


def _drawn(schema: Any, random: Random, path: str, *, lean: bool) -> Any:
    steps = Budget(STEPS_MAX, "steps through patterns")
    try:
        for _ in range(TRIES):
            made = _Maker(schema, random, steps, lean=lean).make(schema, path, 0)
            if fits(made, schema, schema):
                return made
    except (OverflowError, RecursionError) as error:
        raise SchemaError(path, "asks for numbers or a depth that this server does not make") from error
    raise SchemaError(path, f"no fitting value was found in {TRIES} tries; its alternatives may exclude each other")


class _Maker:
    def __init__(self, root: Any, random: Random, steps: Budget, *, lean: bool) -> None:
        self._root = root
        self._random = random
        self._lean = lean
        self._left = VALUES_MAX
        self._steps = steps
        self._characters = Budget(CHARS_MAX, "characters")

    def make(self, schema: Any, path: str, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise SchemaError(path, f"asks for more than {VALUES_MAX} values")
        if depth > DEPTH_MAX:
            raise SchemaError(path, f"asks for values more than {DEPTH_MAX} levels deep")
        lean = self._lean or depth >= DEPTH_LEAN
        error: SchemaError | None = None
        for flat in self._alternatives(schema, path, depth, lean):
            try:
                return self._one(flat, path, depth, lean)
            except SchemaError as impossible:
                error = error or impossible
                if self._left < 0:
                    break
        raise error or SchemaError(path, "no value fits it")

    def _alternatives(self, schema: Any, path: str, depth: int, lean: bool) -> list[dict[str, Any]]:
        """The schema without references and alternatives, in a drawn order; with `lean`, plain ones come first."""
        self._left -= 1
        if depth > 2 * DEPTH_MAX or self._left < 0:
            raise SchemaError(path, "refers to itself without an end")
        if schema is False:
            raise SchemaError(path, "false allows no value")
        if schema is True:
            return [{}]
        own = {name: one for name, one in schema.items() if name not in ("$ref", "allOf", "anyOf", "oneOf")}
        groups = [[one] for one in schema.get("allOf", ())]
        groups += [[resolved(self._root, schema["$ref"], f"{path}.$ref")]] if "$ref" in schema else []
        groups += [schema[name] for name in ("anyOf", "oneOf") if name in schema]
        found = [own]
        for group in groups:
            found = self._with(found, self._ordered(group, lean), path, depth, lean)
        return found

    def _with(
        self, found: list[dict[str, Any]], group: list[Any], path: str, depth: int, lean: bool
    ) -> list[dict[str, Any]]:
        more, error = [], None
        for schema in group:
            try:
                inner = self._alternatives(schema, path, depth + 1, lean)
                more += [merged(one, other, path) for one in found[:4] for other in inner[:4]]
            except SchemaError as impossible:
                error = error or impossible
        if not more and error is not None:
            raise error
        return more

    def _ordered(self, group: list[Any], lean: bool) -> list[Any]:
        """Alternatives in the order in which they are tried."""
        drawn = self._random.sample(group, len(group))
        return sorted(drawn, key=_weight) if lean else drawn

    def _one(self, schema: dict[str, Any], path: str, depth: int, lean: bool) -> Any:
        fixed = [schema["const"]] if "const" in schema else schema.get("enum")
        if fixed is not None:
            allowed = [one for one in fixed if fits(one, schema, self._root)]
            if not allowed:
                raise SchemaError(path, "no value of its enum fits its other keywords")
            chosen = self._random.choice(allowed)
            self._characters.take(len(msgspec.json.encode(chosen)), path)
            return chosen
        kind = self._kind(schema, lean)
        if kind == "object":
            return self._object(schema, path, depth, lean)
        if kind == "array":
            return self._array(schema, path, depth, lean)
        if kind == "string":
            made = text(schema, self._random, path, self._steps, lean=lean)
            self._characters.take(len(made), path)
            return made
        if kind in ("integer", "number"):
            return number(schema, self._random, path, whole=kind == "integer")
        return self._random.random() < 0.5 if kind == "boolean" else None

    def _kind(self, schema: dict[str, Any], lean: bool) -> str:
        types = schema.get("type")
        if isinstance(types, str):
            return types
        if types is None:
            return next((kind for kind, hints in _HINTS.items() if any(hint in schema for hint in hints)), "string")
        plain = [kind for kind in types if kind not in ("object", "array")]
        # A type beside null is what the answer is about.
        some = [kind for kind in types if kind != "null"]
        return str(self._random.choice((plain if lean else some) or types))

    def _object(self, schema: dict[str, Any], path: str, depth: int, lean: bool) -> dict[str, Any]:
        named, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        required = schema.get("required", [])
        most, least = schema.get("maxProperties", VALUES_MAX), schema.get("minProperties", 0)
        names = [name for name in named if name in required] + [name for name in required if name not in named]
        optional = [name for name in named if name not in required]
        room = max(0, (least if lean else most) - len(names))
        chosen = {*names, *optional[:room]}
        self._characters.take(sum(map(len, chosen)), path)
        found = {
            name: self.make(named.get(name, others), f"{path}.properties.{name}", depth + 1)
            for name in [*named, *(name for name in required if name not in named)]
            if name in chosen
        }
        wanted = least if lean or named or others is True else max(least, min(2, most))
        return self._filled(found, wanted, others, path, depth)

    def _filled(self, found: dict[str, Any], wanted: int, others: Any, path: str, depth: int) -> dict[str, Any]:
        """The object with so many properties, the missing ones under made up names."""
        for place in range(1, VALUES_MAX + 2):
            if len(found) >= wanted:
                break
            found.setdefault(f"key{place}", self.make(others, f"{path}.additionalProperties", depth + 1))
        return found

    def _array(self, schema: dict[str, Any], path: str, depth: int, lean: bool) -> list[Any]:
        first, rest = schema.get("prefixItems", []), schema.get("items", True)
        least, most = schema.get("minItems", 0), schema.get("maxItems", VALUES_MAX)
        if least > most:
            raise SchemaError(path, f"no list has at least {least} and at most {most} items")
        wanted = least if lean else min(most, max(least, len(first), self._random.randint(1, 3)))
        unique, made, seen = schema.get("uniqueItems") is True, [], set()
        for place in range(wanted):
            rule = first[place] if place < len(first) else rest
            if rule is False and place >= least:
                break
            for _ in range(TRIES * 4 if unique else 1):
                one = self.make(rule, f"{path}.items", depth + 1)
                key = msgspec.json.encode(one, order="sorted") if unique else place
                if key not in seen:
                    seen.add(key)
                    made.append(one)
                    break
        if len(made) < least:
            raise SchemaError(path, f"{least} different items were not found")
        return made


def _weight(schema: Any) -> int:
    """How much an alternative may ask for: plain values least, references most."""
    if not isinstance(schema, dict):
        return 0
    if "$ref" in schema or any(name in schema for name in ("allOf", "anyOf", "oneOf")):
        return 2
    return 1 if schema.get("type") in ("object", "array") or "properties" in schema else 0

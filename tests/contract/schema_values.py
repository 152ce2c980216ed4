"""Values that fit a JSON Schema, and near misses, for hypothesis: as much of the schema language as our documents use.

An unknown keyword is an error and not ignored, so that a document cannot outgrow its fuzzing unseen.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

_KNOWN = {
    "$ref", "additionalProperties", "anyOf", "const", "default", "description", "enum", "exclusiveMinimum", "items",
    "maxItems", "maximum", "maxLength", "minItems", "minimum", "minLength", "pattern", "properties", "required",
    "title", "type",
}  # fmt: skip
_WORDS = [
    "",
    " ",
    "a",
    "a small cat",
    "[MASK] of [MASK]",
    "[mask]",
    "猫坐在垫子上。",
    "e\u0301\u200d",
    "\x00\x7f",
    "{}",
]
_TEXTS = st.one_of(
    st.sampled_from(_WORDS),
    st.text(max_size=40),
    st.text("ab [MASK]{}\n", min_size=1, max_size=300),
    st.just("x" * 900),
)
_NUMBERS = st.one_of(st.integers(-3, 70), st.sampled_from([2**31, 2**63, 2**64, -(2**63) - 1, 10**30]))


def values(schema: Any, document: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that fit `schema`; references are looked up in `document`."""
    if schema is True or schema == {}:
        return anything()
    unknown = set(schema) - _KNOWN
    assert not unknown, f"schema keywords that the generator does not know: {unknown}"
    if "$ref" in schema:
        return st.deferred(lambda: values(resolve(schema["$ref"], document), document))
    if "anyOf" in schema:
        return st.one_of([values(form, document) for form in schema["anyOf"]])
    if "const" in schema or "enum" in schema:
        return st.sampled_from([schema["const"]] if "const" in schema else schema["enum"])
    if "type" not in schema:
        return anything()
    return _TYPES[schema["type"]](schema, document)


def resolve(reference: str, document: dict[str, Any]) -> Any:
    """What `#/a/b` means; KeyError if it means nothing."""
    node: Any = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def anything() -> st.SearchStrategy[Any]:
    """Any JSON."""
    leaves = st.one_of(st.none(), st.booleans(), _NUMBERS, st.floats(allow_nan=False, allow_infinity=False), _TEXTS)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=8,
    )


def near_misses(schema: Any, document: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that mostly fit: one field replaced by anything, taken away, or one too many."""
    return st.tuples(values(schema, document), st.randoms(use_true_random=False), anything()).map(_spoiled)


def _spoiled(drawn: tuple[Any, Any, Any]) -> Any:
    value, random, other = drawn
    if isinstance(value, dict) and value:
        key = random.choice(sorted(value))
        how = random.randrange(4)
        if how == 0:
            return {name: field for name, field in value.items() if name != key}
        if how == 1:
            return {**value, "another": other}
        return {**value, key: other if how == 2 else _spoiled((value[key], random, other))}
    if isinstance(value, list) and value and random.random() < 0.7:
        place = random.randrange(len(value))
        return [*value[:place], other, *value[place + 1 :]]
    return other


def _text(schema: Any, document: Any) -> st.SearchStrategy[Any]:
    if "pattern" in schema:
        return st.from_regex(schema["pattern"])
    return _TEXTS.filter(lambda text: schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", 1 << 30))


def _integer(schema: Any, document: Any) -> st.SearchStrategy[Any]:
    low, high = schema.get("minimum", -(1 << 70)), schema.get("maximum", 1 << 70)
    return _NUMBERS.filter(lambda number: low <= number <= high)


def _number(schema: Any, document: Any) -> st.SearchStrategy[Any]:
    return st.floats(schema.get("minimum"), schema.get("maximum"), allow_nan=False, allow_infinity=False)


def _list(schema: Any, document: Any) -> st.SearchStrategy[Any]:
    items = values(schema.get("items", True), document)
    return st.lists(items, min_size=schema.get("minItems", 0), max_size=schema.get("maxItems", 5))


def _object(schema: Any, document: Any) -> st.SearchStrategy[Any]:
    fields = {name: values(field, document) for name, field in schema.get("properties", {}).items()}
    required = schema.get("required", [])
    return st.fixed_dictionaries(
        {name: fields[name] for name in required},
        optional={name: field for name, field in fields.items() if name not in required},
    )


_TYPES = {
    "string": _text,
    "integer": _integer,
    "number": _number,
    "array": _list,
    "object": _object,
    "boolean": lambda schema, document: st.booleans(),
    "null": lambda schema, document: st.none(),
}

"""JSON made to fit a schema: what is made is valid, equal seeds give equal values, and no schema takes long."""

from __future__ import annotations

import json
import time
from random import Random
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_server.structured import ANY_OBJECT, SchemaError, value

TICKET = {
    "type": "object",
    "properties": {
        "label": {"enum": ["bug", "billing", "other"]},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "tags": {
            "type": "array",
            "items": {"type": "string", "minLength": 2, "maxLength": 12},
            "minItems": 1,
            "maxItems": 4,
            "uniqueItems": True,
        },
        "when": {"type": ["string", "null"], "format": "date-time"},
        "code": {"type": "string", "pattern": r"^[A-Z]{3}-\d{4}(x|[^a-y])?$"},
        "id": {"type": "string", "format": "uuid"},
    },
    "required": ["label", "confidence", "tags", "when", "code"],
    "additionalProperties": False,
}
TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "v": {"type": "integer", "exclusiveMinimum": 3, "maximum": 9, "multipleOf": 2},
                "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["v", "kids", "next"],
        }
    },
    "$ref": "#/$defs/node",
}
SCHEMAS: dict[str, Any] = {
    "ticket": TICKET,
    "tree": TREE,
    "object": ANY_OBJECT,
    "anything": True,
    "tuple": {"prefixItems": [{"type": "integer"}, {"const": "a"}], "items": False, "minItems": 2},
    "one of two that overlap": {"oneOf": [{"type": "integer", "multipleOf": 3}, {"type": "integer", "multipleOf": 5}]},
    "parts of a whole": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "number", "multipleOf": 0.25, "exclusiveMaximum": 1}}},
            {"required": ["a", "b"], "properties": {"a": {"minimum": 0}, "b": {"const": {"x": 1}}}},
        ]
    },
    "a map": {"type": "object", "additionalProperties": {"type": "boolean"}, "minProperties": 3},
    "a great number": {"type": "number", "minimum": 1e308},
    "a number below": {"type": "integer", "maximum": -5},
    "a range around the surrogates": {"type": "string", "pattern": "^[\\ud7ff-\\ue000]{9}$"},
    "groups": {"type": "string", "pattern": "^(a|b)(x{2,4})\\1(?:\\2|z)*$"},
    "bounds of draft 4": {"type": "integer", "minimum": 1, "maximum": 3, "exclusiveMinimum": True},
    "references to each other": {
        "x": {"type": "object", "properties": {"y": {"$ref": "#/y"}}},
        "y": {"anyOf": [{"type": "null"}, {"$ref": "#/x"}]},
        "$ref": "#/x",
    },
    "many branches": {
        "$defs": {"n": {"type": "object", "properties": {key: {"$ref": "#/$defs/n"} for key in "abcdefgh"}}},
        "$ref": "#/$defs/n",
    },
}
IMPOSSIBLE: dict[str, tuple[Any, str]] = {
    "a loop of references": (
        {"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}] * 2}}, "$ref": "#/$defs/a"},
        "without an end",
    ),
    "an endless object": (
        {"$defs": {"n": {"properties": {"n": {"$ref": "#/$defs/n"}}, "required": ["n"]}}, "$ref": "#/$defs/n"},
        "levels deep",
    ),
    "a long list": ({"type": "array", "minItems": 10**9}, "no list"),
    "a long text": ({"type": "string", "minLength": 10**9}, "minLength: 1000000000 is over"),
    "a long pattern": ({"type": "string", "pattern": "(((a{100}){100}){100}){100}"}, "2000 characters"),
    "a pattern of many empty repetitions": ({"type": "string", "pattern": "(?:){3000000}"}, "steps through patterns"),
    "a pattern whose groups double": (
        {"type": "string", "pattern": "(a)" + "".join(f"(\\{n}\\{n})" for n in range(1, 23))},
        "2000 characters",
    ),
    "a surrogate": ({"type": "string", "pattern": "\\ud800"}, "surrogate U+D800"),
    "a range of surrogates": ({"type": "string", "pattern": "[\\ud800-\\udbff]"}, "surrogate U+D"),
    "many long texts": (
        {"type": "array", "items": {"type": "string", "minLength": 60_000}, "minItems": 2},
        "more than 100000 characters",
    ),
    "many fixed values": ({"type": "array", "items": {"const": "x" * 999}, "minItems": 200}, "100000 characters"),
    "many long keys": (
        {"type": "array", "items": {"required": ["x" * 999]}, "minItems": 200},
        "100000 characters",
    ),
    "a deep pattern": ({"type": "string", "pattern": "(" * 249 + ")" * 249 + "("}, "pattern: is no regular"),
    "a look ahead": ({"type": "string", "pattern": "(?=a)b"}, "looks ahead"),
    "no number": ({"type": "integer", "minimum": 5, "maximum": 3}, "between 5 and 3"),
    "a great bound": ({"type": "number", "minimum": 10**400}, "does not make"),
    "two types": ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "nothing is both"),
    "too few values": ({"type": "array", "items": {"enum": [1, 2]}, "uniqueItems": True, "minItems": 3}, "different"),
    "both of one": ({"oneOf": [{"type": "integer"}, {"type": "integer"}]}, "no fitting value"),
    "another schema": ({"$ref": "https://example.com/x"}, "$ref: must be a reference within"),
    "a missing one": ({"$ref": "#/$defs/x"}, "is not in the schema"),
    "a reference to no schema": ({"required": ["a"], "$ref": "#/required"}, "$ref: must be a JSON Schema"),
    "a reference to a wrong count": ({"x": {"minLength": "a"}, "$ref": "#/x"}, "$ref.minLength: must be an integer"),
    "a reference to an unknown type": ({"x": {"type": "strin"}, "$ref": "#/x"}, "$ref.type: 'strin' is not one of"),
    "a reference by an anchor": ({"$ref": "#x"}, "$ref: must be a reference within"),
    "a reference to a far place": ({"enum": [1], "$ref": "#/enum/" + "9" * 5000}, "$ref: "),
    "an unknown type": ({"type": "strin"}, "type: 'strin' is not one of"),
    "a condition": ({"properties": {"a": {"if": {}}}}, "properties.a.if: this keyword"),
    "a forbidden name": ({"required": ["a"], "additionalProperties": False}, "properties.a: false allows"),
}


@pytest.mark.parametrize("lean", [False, True])
@pytest.mark.parametrize("name", SCHEMAS)
def test_what_is_made_is_valid_and_depends_on_the_seed_alone(name: str, lean: bool) -> None:
    schema = SCHEMAS[name]
    valid = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)(schema)
    if name == "bounds of draft 4":
        valid = jsonschema.Draft4Validator(schema)
    for seed in range(6):
        made = value(schema, Random(seed), "schema", lean=lean)
        assert not [error.message for error in valid.iter_errors(json.loads(json.dumps(made)))], made
        assert made == value(schema, Random(seed), "schema", lean=lean)


def test_seeds_give_different_values_and_a_lean_one_is_short() -> None:
    rich = {json.dumps(value(TICKET, Random(seed), "schema")) for seed in range(20)}
    assert len(rich) == 20
    assert set(value(TICKET, Random(1), "schema", lean=True)) == set(TICKET["required"])


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_schema_that_cannot_be_met_is_refused_soon_with_its_place(name: str) -> None:
    schema, reason = IMPOSSIBLE[name]
    began = time.process_time()
    with pytest.raises(SchemaError) as error:
        value(schema, Random(1), "schema")
    assert reason in str(error.value)
    assert str(error.value).startswith("schema")
    assert len(str(error.value)) < 300
    assert time.process_time() - began < 5


_COUNT = st.integers(0, 6)
_LEAF = st.one_of(
    st.fixed_dictionaries({"type": st.just("string")}, optional={"minLength": _COUNT, "maxLength": st.integers(6, 30)}),
    st.fixed_dictionaries({"type": st.just("integer")}, optional={"minimum": _COUNT, "multipleOf": st.integers(1, 7)}),
    st.fixed_dictionaries({"type": st.just("number")}, optional={"exclusiveMinimum": st.floats(-10, 10)}),
    st.fixed_dictionaries({"enum": st.lists(st.one_of(st.integers(), st.text(max_size=5), st.none()), min_size=1)}),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["null", "string"]}, {}]),
)
_SCHEMA = st.recursive(
    _LEAF,
    lambda inner: st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(st.text(max_size=4), inner, max_size=4)},
            optional={"required": st.lists(st.sampled_from("ab"), max_size=2)},
        ),
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}, optional={"minItems": _COUNT}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)}),
    ),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(schema=_SCHEMA, seed=st.integers(0, 1000))
def test_any_schema_is_met(schema: Any, seed: int) -> None:
    made = value(schema, Random(seed), "schema")
    jsonschema.Draft202012Validator(schema).validate(made)

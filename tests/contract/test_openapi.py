"""The OpenAPI document: it is valid, it is complete, and what the servers do is what it says."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mock_server.app import create
from model_server.api import ROUTES
from model_server.http.openapi import document
from model_server.http.routes import Route
from tests.contract.conftest import Serve
from tests.contract.schema_values import near_misses, resolve, values
from tests.contract.servers import Answer, Caller, Server, checked_error

DOCUMENT = document(create("null").routes)
POSTS = [route for route in ROUTES if route.request is not None]
EXAMPLES = 25
fuzzed = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
"""A bounded number a route; CI has little time. `EXAMPLES = 600` finds no more (tried by hand)."""


@pytest.fixture
def server(serve: Serve) -> Server:
    """One of its own: what is fuzzed here must not disturb the counts that other tests look at."""
    return serve(name="fuzzed", text_max_chars=20_000, items_max=64, tokens_max=16)


def nodes(node: Any, place: str = "#") -> Iterator[tuple[str, Any]]:
    """Every mapping of the document and where it is."""
    if isinstance(node, dict):
        yield place, node
        for key, value in node.items():
            yield from nodes(value, f"{place}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from nodes(value, f"{place}/{index}")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def test_the_document_has_the_members_that_openapi_3_1_asks_for_and_no_others() -> None:
    assert set(DOCUMENT) == {"openapi", "info", "paths", "components"}
    assert re.fullmatch(r"3\.1\.\d+", DOCUMENT["openapi"])
    assert {"title", "version"} <= set(DOCUMENT["info"]) <= {"title", "version", "description", "summary"}
    assert set(DOCUMENT["components"]) <= {"schemas", "responses", "headers", "parameters", "securitySchemes"}
    for kind in DOCUMENT["components"].values():
        assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in kind)


def test_every_operation_is_well_formed() -> None:
    seen = set()
    for path, method, operation in operations():
        assert path.startswith("/")
        assert method in {"get", "put", "post", "delete", "patch"}
        known = {"operationId", "summary", "tags", "parameters", "responses", "requestBody", "security", "description"}
        assert {"operationId", "responses"} <= set(operation) <= known
        assert operation["operationId"] not in seen
        seen.add(operation["operationId"])
        in_path = {parameter["name"] for parameter in operation["parameters"] if parameter.get("in") == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path))
        for scheme in operation.get("security", []):
            assert set(scheme) <= set(DOCUMENT["components"]["securitySchemes"])
        if "requestBody" in operation:
            assert set(operation["requestBody"]) <= {"required", "content", "description"}
            assert operation["requestBody"]["content"]


def test_every_response_header_and_parameter_is_well_formed() -> None:
    for _, _, operation in operations():
        assert any(status.startswith("2") for status in operation["responses"])
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d", status)
            shown = resolve(response["$ref"], DOCUMENT) if "$ref" in response else response
            assert {"description"} <= set(shown) <= {"description", "headers", "content"}
            for kind, media in shown["content"].items():
                assert re.fullmatch(r"[a-z]+/[a-z-]+", kind)
                assert "schema" in media
                assert all(key == "schema" or key.startswith("x-") for key in media)
    for parameter in DOCUMENT["components"]["parameters"].values():
        assert {"name", "in", "schema"} <= set(parameter) <= {"name", "in", "schema", "description", "required"}
        assert parameter["in"] in {"query", "header", "path", "cookie"}
    for header in DOCUMENT["components"]["headers"].values():
        assert {"schema"} <= set(header) <= {"schema", "description"}


def test_every_schema_is_a_valid_one_and_every_reference_leads_somewhere() -> None:
    schemas = 0
    for place, node in nodes(DOCUMENT):
        if "$ref" in node:
            assert resolve(node["$ref"], DOCUMENT) is not None
        if place.endswith(("/schema", "/x-event")) or re.fullmatch("#/components/schemas/[^/]+", place):
            jsonschema.Draft202012Validator.check_schema(node)
            schemas += 1
    assert schemas > 50


def test_every_route_is_in_the_document_and_nothing_else() -> None:
    documented = {(method.upper(), path) for path, method, _ in operations()}
    assert documented == {(route.method, route.path) for route in create("null").routes}


def test_the_document_is_served_by_both_servers(call: Caller) -> None:
    served = call.get("/openapi.json").json
    for route in ROUTES:
        assert served["paths"][route.path][route.method.lower()] == DOCUMENT["paths"][route.path][route.method.lower()]


@cache
def validator(route: Route, kind: str) -> Any:
    operation = DOCUMENT["paths"][route.path][route.method.lower()]
    media = operation["responses"][str(route.status)]["content"]
    schema = media["text/event-stream"]["x-event"] if kind == "event" else media[route.content_type]["schema"]
    return jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def check(route: Route, answer: Answer) -> None:
    """The answer is what the document says: its status, its headers, its body."""
    operation = DOCUMENT["paths"][route.path][route.method.lower()]
    assert str(answer.status) in operation["responses"], (answer.status, answer.body[:300])
    assert answer.status != 500, answer.body
    assert "server-timing" in answer.headers
    if answer.status != route.status:
        checked_error(answer, answer.status, tei="error_type" in answer.json)
    elif answer.headers["content-type"].startswith("text/event-stream"):
        for event in answer.events:
            validator(route, "event").validate(event)
    elif route.content_type == "application/json":
        validator(route, "answer").validate(answer.json)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "GET"], ids=lambda route: route.path)
def test_what_can_be_read_is_as_documented(call: Caller, route: Route) -> None:
    check(route, call.get(route.path))


def blank(body: Any) -> bool:
    """Labels in one text: no schema says that none between two commas may be blank."""
    return (
        isinstance(body, dict) and isinstance(body.get("parameters"), dict) and "candidate_labels" in body["parameters"]
    )


@pytest.mark.parametrize("route", POSTS, ids=lambda route: route.path)
def test_bodies_that_fit_the_document_are_answered_as_documented(
    call: Caller, route: Route, caplog: pytest.LogCaptureFixture
) -> None:
    schema = DOCUMENT["paths"][route.path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    statuses: set[int] = set()

    @fuzzed
    @given(values(schema, DOCUMENT))
    def run(body: Any) -> None:
        answer = call.post(route.path, body)
        check(route, answer)
        statuses.add(answer.status)
        if answer.status >= 400 and not blank(body):
            assert answer.json["error"]["code"] != "empty", "the document does not say how short is too short"

    with caplog.at_level(logging.ERROR):
        run()
    assert not caplog.records
    if route.family != "jobs":  # whose inputs are bodies of other routes: no schema tells which are right
        assert route.status in statuses, "no example was right: the generator is of no use here"


@pytest.mark.parametrize("route", POSTS, ids=lambda route: route.path)
def test_bodies_that_almost_fit_find_no_mistake_of_the_server(
    call: Caller, route: Route, caplog: pytest.LogCaptureFixture
) -> None:
    schema = DOCUMENT["paths"][route.path]["post"]["requestBody"]["content"]["application/json"]["schema"]

    @fuzzed
    @given(near_misses(schema, DOCUMENT))
    def run(body: Any) -> None:
        check(route, call.post(route.path, body))

    with caplog.at_level(logging.ERROR):
        run()
    assert not caplog.records


@fuzzed
@given(st.binary(max_size=200), st.sampled_from([route.path for route in POSTS]))
def test_bytes_of_any_kind_find_no_mistake_of_the_server(call: Caller, body: bytes, path: str) -> None:
    answer = call.post(path, body)
    assert answer.status in (400, 422)

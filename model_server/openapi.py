"""The OpenAPI document and the table of routes for people, both made from the routes themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from model_server.routes import Route

_REF = "#/components/schemas/{name}"


class ErrorDetail(msgspec.Struct):
    """What went wrong: for people, for programs, and where."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(msgspec.Struct):
    """The one error body; `error_type` is there on TEI routes."""

    error: ErrorDetail
    error_type: str | msgspec.UnsetType = msgspec.UNSET


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """OpenAPI 3.1 for these routes."""
    routes = list(routes)
    types: list[Any] = [ErrorBody]
    for route in routes:
        types += [*_request_types(route), *_answer_types(route)]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    error, rest = schemas[0], iter(schemas[1:])
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        requests = [next(rest) for _ in _request_types(route)]
        answers = [next(rest) for _ in _answer_types(route)]
        operation = _operation(route, _either(requests), _either(answers), error)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "paceline servers", "version": "1", "description": "One HTTP face: the mock and the model."},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _request_types(route: Route) -> tuple[Any, ...]:
    if route.request is None:
        return ()
    return route.request_forms or (route.request,)


def _answer_types(route: Route) -> tuple[Any, ...]:
    return route.answer if isinstance(route.answer, tuple) else (route.answer,)


def _either(schemas: list[Any]) -> Any:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas} if schemas else None


def _operation(route: Route, request: Any, answer: Any, error: Any) -> dict[str, Any]:
    content = {route.content_type: {"schema": answer}}
    if route.streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}{route.path.replace('/', '_').replace('-', '_').replace('.', '_')}",
        "summary": route.summary,
        "tags": [route.family],
        "responses": {
            "200": {"description": "the answer", "content": content},
            "default": {"description": "an error", "content": {"application/json": {"schema": error}}},
        },
    }
    if not route.open:
        operation["security"] = [{}, {"key": []}]
    if request is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": request}}}
    return operation


def routes_table(routes: Iterable[Route]) -> str:
    """Markdown: one line a route."""
    lines = ["| Route | Family | What it answers | Counted | Streams |", "|---|---|---|---|---|"]
    lines += [
        f"| `{route.method} {route.path}` | {route.family} | {route.summary} | "
        f"{'yes' if route.work else ''} | {'yes' if route.streams else ''} |"
        for route in routes
    ]
    return "\n".join(lines)

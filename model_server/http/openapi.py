"""The OpenAPI document and the documentation's tables of routes and errors, all made from the routes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from model_server.http.routes import Route

_REF = "#/components/schemas/{name}"
_MILLISECONDS = {"type": "number", "exclusiveMinimum": 0}


class ErrorDetail(msgspec.Struct):
    """An error: message for the user, type and code for programs, parameter in error."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(msgspec.Struct):
    """The body of every error; TEI routes add `error_type`. On the routes of other servers `error` is a text."""

    error: ErrorDetail | str
    error_type: str | msgspec.UnsetType = msgspec.UNSET


_STATUSES = {
    400: "The request is invalid: not JSON, a missing or wrong field, or too long for the model",
    401: "The API key is missing or wrong",
    404: "No such route or job, or the model behind this server does not do this kind of work",
    408: "The body of the request was not complete in time",
    409: "The Idempotency-Key belongs to another job",
    413: "The body is too large; on TEI routes also too many or too long inputs",
    415: "The `Content-Encoding` of the body is not gzip",
    422: "The request is invalid (status of TEI routes)",
    424: "The model failed (status of TEI routes)",
    429: "The caller exceeds its limit",
    431: "The head of the request is too large",
    500: "Internal error of the server",
    501: "The transfer coding is not chunked, or the method is CONNECT",
    503: "The server is full, starting or stopping",
    504: "The caller's deadline passed while the work was queued",
}
_WITH_RETRY_AFTER = (429, 503)
_HEADERS = {
    "ServerTiming": {
        "description": "Milliseconds in queue, batch and compute; size, padded length and tokens of the batch",
        "schema": {"type": "string"},
    },
    "RequestId": {"description": "Id of the request, if it has one", "schema": {"type": "string"}},
    "ModelNote": {"description": "Note on the model: simulated, random weights", "schema": {"type": "string"}},
    "TruncatedInputs": {
        "description": "Number of inputs that were cut to the model's bound because of `truncate`",
        "schema": {"type": "integer", "minimum": 1},
    },
    "RetryAfter": {
        "description": "Whole seconds until the current queue will have started",
        "schema": {"type": "integer", "minimum": 1},
    },
    "RetryAfterMs": {"description": "The same in milliseconds", "schema": {"type": "integer", "minimum": 1}},
}
_PARAMETERS = {
    "RequestId": {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Returned with the answer",
        "schema": {"type": "string"},
    },
    "RequestTimeoutMs": {
        "name": "X-Request-Timeout-Ms",
        "in": "header",
        "description": "Deadline in milliseconds from arrival; work that still waits then is answered with 504",
        "schema": _MILLISECONDS,
    },
}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """OpenAPI 3.1 for these routes."""
    routes = list(routes)
    types: list[Any] = [ErrorBody]
    for route in routes:
        types += [*_request_types(route), *_answer_types(route), *_event_types(route)]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    error, rest = schemas[0], iter(schemas[1:])
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        requests = [next(rest) for _ in _request_types(route)]
        answers = [next(rest) for _ in _answer_types(route)]
        events = [next(rest) for _ in _event_types(route)]
        operation = _operation(route, _either(requests), _either(answers), _either(events))
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    responses = {str(status): _error(status, text, error) for status, text in _STATUSES.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "paceline servers", "version": "1", "description": "The mock and the model server."},
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": responses,
            "headers": _HEADERS,
            "parameters": _PARAMETERS,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _request_types(route: Route) -> tuple[Any, ...]:
    if route.request is None:
        return ()
    return route.request_forms or (route.request,)


def _answer_types(route: Route) -> tuple[Any, ...]:
    return route.answer if isinstance(route.answer, tuple) else (route.answer,)


def _event_types(route: Route) -> tuple[Any, ...]:
    return () if route.event is None else (route.event,)


def _either(schemas: list[Any]) -> Any:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas} if schemas else None


def _error(status: int, text: str, schema: Any) -> dict[str, Any]:
    headers = dict(_ANSWER_HEADERS)
    if status in _WITH_RETRY_AFTER:
        headers |= {
            "Retry-After": {"$ref": "#/components/headers/RetryAfter"},
            "retry-after-ms": {"$ref": "#/components/headers/RetryAfterMs"},
        }
    return {"description": text, "headers": headers, "content": {"application/json": {"schema": schema}}}


_ANSWER_HEADERS = {
    "Server-Timing": {"$ref": "#/components/headers/ServerTiming"},
    "X-Request-Id": {"$ref": "#/components/headers/RequestId"},
    "X-Model-Note": {"$ref": "#/components/headers/ModelNote"},
}


def statuses_of(route: Route) -> list[int]:
    """Every error status that this route can answer."""
    statuses = [400, 431, 500]
    if not route.open:
        statuses.append(401)
    if route.request is not None:
        statuses += [408, 413, 415, 501]
    if route.work:
        statuses += [404, 429, 503, 504]
    if route.work and (route.family == "tei" or route.tei_param is not None):
        statuses += [422, 424]
    return sorted({*statuses, *route.statuses})


def _operation(route: Route, request: Any, answer: Any, event: Any) -> dict[str, Any]:
    content = {route.content_type: {"schema": answer}}
    if event is not None:
        # `event` describes the text between "data: " and the empty line, or a line; the last event may be [DONE].
        content[route.event_type] = {"schema": {"type": "string"}, "x-event": event}
    parameters = ["RequestId", "RequestTimeoutMs"] if route.work else ["RequestId"]
    errors = {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses_of(route)}
    headers: dict[str, Any] = dict(_ANSWER_HEADERS)
    if route.work and route.family == "tei":
        headers["X-Truncated-Inputs"] = {"$ref": "#/components/headers/TruncatedInputs"}
    good = {"description": "the answer", "headers": headers, "content": content}
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}{_name(route.path)}",
        "summary": route.summary,
        "tags": [route.family],
        "parameters": [*_in_path(route), *({"$ref": f"#/components/parameters/{name}"} for name in parameters)],
        "responses": {str(route.status): good, **errors},
    }
    if not route.open:
        operation["security"] = [{}, {"key": []}]
    if request is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": request}}}
    return operation


def _in_path(route: Route) -> list[dict[str, Any]]:
    names = re.findall(r"{(\w+)}", route.path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _name(path: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in path)


def errors_table() -> str:
    """The errors as a Markdown table, one line per status."""
    lines = ["| Status | Meaning | Retry-After |", "|---|---|---|"]
    lines += [
        f"| {status} | {text} | {'yes' if status in _WITH_RETRY_AFTER else ''} |" for status, text in _STATUSES.items()
    ]
    return "\n".join(lines)


def routes_table(routes: Iterable[Route]) -> str:
    """The routes as a Markdown table, one line per route."""
    lines = ["| Route | Family | Answer | Counted | Streams |", "|---|---|---|---|---|"]
    lines += [
        f"| `{route.method} {route.path}` | {route.family} | {route.summary} | "
        f"{'yes' if route.work else ''} | {'yes' if route.streams else ''} |"
        for route in routes
    ]
    return "\n".join(lines)

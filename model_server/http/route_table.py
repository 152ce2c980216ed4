"""Finds the route of an exchange: plain paths by one dict access, paths with a parameter by patterns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from model_server.errors import ApiError, invalid
from model_server.http.exchange import Exchange
from model_server.http.json_bodies import BodyDecoder
from model_server.http.routes import Route

Decode = Callable[[bytes], Any]
Methods = dict[str, tuple[Route, Decode | None]]
Patterns = list[tuple[re.Pattern[str], Methods]]


def tabulate(routes: Iterable[Route]) -> tuple[dict[str, Methods], Patterns]:
    """The plain paths, and the patterns of paths with a parameter."""
    plain: dict[str, Methods] = {}
    for route in routes:
        decode = BodyDecoder(route.request) if route.request is not None else None
        plain.setdefault(route.path, {})[route.method] = (route, decode)
    patterns = [(_pattern(path), plain.pop(path)) for path in list(plain) if "{" in path]
    return plain, patterns


def _pattern(path: str) -> re.Pattern[str]:
    """The pattern of a path. A parameter is one segment, except `{model}`: names of models may contain slashes."""
    escaped = re.escape(path).replace(r"\{model\}", "(?P<model>.+)")
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", escaped))


def route_of(exchange: Exchange, methods: Methods | None, patterns: Patterns) -> tuple[Route, Decode | None]:
    """The route and its body decoder; `methods` are those of the plain path. Raises `ApiError` 404 or 405."""
    if methods is None:
        methods = _by_pattern(exchange, patterns)
    if methods is None:
        raise invalid(f"no such route: {exchange.path[:200]}", code="not_found", status=404)
    method = exchange.scope["method"]
    # For HEAD, the protocol leaves out the body.
    found = methods.get("GET" if method == "HEAD" else method)
    if found is None:
        allowed = _names(methods)
        raise ApiError(
            405,
            f"{exchange.path[:200]} takes {allowed}",
            code="method_not_allowed",
            headers=((b"allow", allowed.encode()),),
        )
    return found


def allowed_methods(exchange: Exchange, methods: Methods | None, patterns: Patterns) -> str:
    """The methods of this path; empty if it has no route."""
    return _names(methods or _by_pattern(exchange, patterns) or {})


def _names(methods: Methods) -> str:
    return ", ".join(sorted({*methods, "HEAD"} if "GET" in methods else methods))


def _by_pattern(exchange: Exchange, patterns: Patterns) -> Methods | None:
    for pattern, methods in patterns:
        found = pattern.fullmatch(exchange.path)
        if found is not None:
            exchange.params = found.groupdict()
            return methods
    return None

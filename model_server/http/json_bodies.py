"""Decodes JSON bodies to checked structs; errors name the field."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from model_server.errors import ApiError, invalid

_PLACE = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")
_UNKNOWN = re.compile(r"contains unknown field `([^`]+)`")
_MISSING = re.compile(r"missing required field `([^`]+)`")
_FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class BodyDecoder:
    """Decodes one route's bodies."""

    def __init__(self, request: Any) -> None:
        self._decode = msgspec.json.Decoder(request).decode

    def __call__(self, body: bytes) -> Any:
        try:
            return self._decode(body)
        except _FAULTS as error:
            if isinstance(error, msgspec.ValidationError) and _UNKNOWN.search(str(error)):
                return self._without_nulls(body)
            raise self._problem(body, error) from None

    def _without_nulls(self, body: bytes) -> Any:
        """Decode without null fields: null means absent, also for a field that the route does not know."""
        try:
            return self._decode(msgspec.json.encode(_kept(msgspec.json.decode(body))))
        except _FAULTS as error:
            raise self._problem(body, error) from None

    def _problem(self, body: bytes, error: Exception) -> ApiError:
        if isinstance(error, msgspec.ValidationError):
            return self._validation(str(error))
        if isinstance(error, RecursionError):
            return invalid("the body is nested too deeply", code="invalid_json")
        detail = "the body is empty" if not body else f"the body is not valid JSON: {error}"
        return invalid(detail, code="invalid_json")

    def _validation(self, message: str) -> ApiError:
        place = _PLACE.search(message)
        missing = _MISSING.search(message)
        text = _PLACE.sub("", message)
        path = place.group(1) if place else ""
        if unknown := _UNKNOWN.search(message):
            path = f"{path}.{unknown.group(1)}" if path else unknown.group(1)
            return invalid(f"{path}: is not supported by this server; leave it out", path, "unsupported_parameter")
        if missing:
            path = f"{path}.{missing.group(1)}" if path else missing.group(1)
            return invalid(f"{path}: is required", path, "missing_field")
        return invalid(f"{path}: {text}" if path else text, path or None)


def _kept(content: Any) -> Any:
    """An object, and the objects in its lists (such as chat messages), without null fields."""
    if not isinstance(content, dict):
        return content
    kept = {name: value for name, value in content.items() if value is not None}
    return {
        name: [_kept(entry) for entry in value] if isinstance(value, list) else value for name, value in kept.items()
    }

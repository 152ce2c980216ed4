"""JSON bodies in, checked structs out; whatever is wrong with them becomes an error that names the field."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from model_server.errors import ApiError, invalid

_PLACE = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `([^`]+)`")


class BodyDecoder:
    """Decodes one route's bodies."""

    def __init__(self, request: Any) -> None:
        self._decode = msgspec.json.Decoder(request).decode

    def __call__(self, body: bytes) -> Any:
        try:
            return self._decode(body)
        except msgspec.ValidationError as error:
            raise self._validation(str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            detail = "the body is empty" if not body else f"the body is not valid JSON: {error}"
            raise invalid(detail, code="invalid_json") from None
        except RecursionError:
            raise invalid("the body is nested too deeply", code="invalid_json") from None

    def _validation(self, message: str) -> ApiError:
        place = _PLACE.search(message)
        missing = _MISSING.search(message)
        text = _PLACE.sub("", message)
        path = place.group(1) if place else ""
        if missing:
            path = f"{path}.{missing.group(1)}" if path else missing.group(1)
            return invalid(f"{path}: is required", path, "missing_field")
        return invalid(f"{path}: {text}" if path else text, path or None)

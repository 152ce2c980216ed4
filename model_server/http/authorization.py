"""Checks the optional API key, which a request sends as a bearer token."""

from __future__ import annotations

import hmac

from model_server.errors import ApiError
from model_server.http.exchange import Exchange


def check_key(exchange: Exchange, expected: bytes) -> None:
    """Raises `ApiError` 401 unless the request has this key."""
    given = exchange.headers.get(b"authorization", b"")
    scheme, _, key = given.partition(b" ")
    if scheme.lower() != b"bearer" or not hmac.compare_digest(key.strip(), expected):
        raise ApiError(
            401,
            "a valid API key is needed: Authorization: Bearer KEY",
            code="invalid_api_key",
            type="authentication_error",
            headers=((b"www-authenticate", b"Bearer"),),
        )

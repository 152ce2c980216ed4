"""Checks of a request's head: its host, the framing of its body, and its offer of another protocol."""

from __future__ import annotations

import re

from model_server.errors import ApiError, Header

_HOST = re.compile(rb"(?:[\w.~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::\d*)?")
_BODY_FIELDS = (b"content-length", b"transfer-encoding")


def host_problem(names: list[bytes], fields: list[Header], version: str) -> ApiError | None:
    """HTTP/1.1 requires exactly one Host header, HTTP/1.0 at most one (RFC 9112, 3.2)."""
    hosts = names.count(b"host")
    if hosts == 1:
        fits = _HOST.fullmatch(fields[names.index(b"host")][1])
        return None if fits else not_http("the Host header is not a host and a port")
    if hosts or version == "1.1":
        return not_http("an HTTP/1.1 request has exactly one Host header")
    return None


def offer_problem(method: bytes, fields: list[Header]) -> ApiError | None:
    """An offer is ignored, unless the following bytes may be in the other protocol."""
    if method == b"CONNECT":
        return ApiError(501, "this server is no proxy: CONNECT is not supported", code="invalid_http")
    offers = [value.strip().lower() for name, value in fields if name == b"upgrade"]
    if offers != [b"h2c"] and any(name in _BODY_FIELDS for name, _ in fields):
        # A client that offers h2c continues with HTTP/1.1 (Java's client offers it in its first request).
        return not_http("a request that asks for an upgrade must have no body")
    return None


def coding_problem(fields: list[Header], version: str) -> ApiError | None:
    """The only supported transfer coding is chunked, and HTTP/1.0 has none (RFC 9112, 6.1)."""
    codings = [
        coding.strip().lower() for name, value in fields if name == b"transfer-encoding" for coding in value.split(b",")
    ]
    if any(coding != b"chunked" for coding in codings):
        return ApiError(501, "the only transfer coding that is understood is chunked", code="invalid_http")
    if len(codings) != 1 or version != "1.1":
        return not_http("Transfer-Encoding: must be chunked, once, in HTTP/1.1")
    return None


def not_http(message: str) -> ApiError:
    return ApiError(400, message, code="invalid_http")

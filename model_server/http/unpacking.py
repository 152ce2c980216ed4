"""Decompresses gzip bodies within a bound, because a small body can expand to gigabytes."""

from __future__ import annotations

import zlib

from model_server.errors import ApiError, Header, invalid
from model_server.http.exchange import too_large

_GZIP = 16 + zlib.MAX_WBITS
MEMBERS_MAX = 64
"""Bound on the members of a gzip body. zlib copies the rest after each member: minutes for many empty members."""


def is_gzip(encoding: bytes) -> bool:
    """True if Content-Encoding is gzip, False for identity; raises `ApiError` 415 for another encoding."""
    name = encoding.strip().lower()
    if name in (b"gzip", b"x-gzip"):
        return True
    if name == b"identity":
        return False
    message = f"content-encoding: {name.decode('latin-1')[:80]!r} is not supported; gzip and identity are"
    headers: tuple[Header, ...] = ((b"accept-encoding", b"gzip, identity"),)
    raise ApiError(415, message, code="unsupported_encoding", param="content-encoding", headers=headers)


def unpacked(body: bytes, bytes_max: int) -> bytes:
    """The content of a gzip body; raises `ApiError` 413 above the bound, 400 for invalid or truncated gzip."""
    parts: list[bytes] = []
    room = bytes_max
    while body:
        if len(parts) == MEMBERS_MAX:
            raise invalid(f"the body is gzip of more than {MEMBERS_MAX} members", code="invalid_encoding")
        member = zlib.decompressobj(_GZIP)
        try:
            part = member.decompress(body, room + 1)
        except zlib.error as error:
            raise invalid(f"the body is not valid gzip: {error}", code="invalid_encoding") from None
        room -= len(part)
        if room < 0:
            raise too_large(bytes_max)
        if not member.eof:
            raise invalid("the body is gzip that is cut off", code="invalid_encoding")
        parts.append(part)
        body = member.unused_data
    return b"".join(parts)

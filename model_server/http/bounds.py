"""The bounds of the HTTP interface. Each has its own error, which names the exceeded bound."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.base.options import option, options
from harness.base.quantity import duration_s

_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^\s/,*]+")


@dataclass(frozen=True)
class FaceSettings:
    """Bounds of a request, the optional API key, and the web pages that may call."""

    body_max_bytes: int = option(4 << 20, "Bytes of a request's body, also after unpacking it.", least=1)
    items_max: int = option(2048, "Texts, labels or pairs in one request.", least=1)
    text_max_chars: int = option(500_000, "Characters of one text.", least=1)
    tokens_max: int = option(8192, "Tokens that a request may ask for.", least=1)
    body_timeout_s: float = option(
        60.0, "Seconds from the head of a request to the last byte of its body.", kind=duration_s, least=0
    )
    head_max_bytes: int = option(64 << 10, "Bytes of a request's head.", least=1)
    head_max_fields: int = option(100, "Header fields of a request.", least=1)
    keep_alive_s: float = option(75.0, "Seconds that a connection may be idle.", kind=duration_s, least=0)
    api_key: str | None = None
    cors_origins: tuple[str, ...] = option(
        (),
        "Web pages whose scripts may call, such as https://example.org; * for all; repeatable.",
        flag="--cors-origin",
        metavar="ORIGIN",
    )

    def __post_init__(self) -> None:
        for bound in options(FaceSettings):
            value = getattr(self, bound.field)
            if bound.kind is int and value < 1:
                raise ValueError(f"{bound.field} = {value!r}: must be an integer >= 1")
            if bound.in_seconds and not 0 < value <= 86_400:
                raise ValueError(f"{bound.field} = {value!r}: must be > 0 and <= 86400")
        for origin in self.cors_origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"cors_origins = {origin!r}: must be * or like https://example.org, without a path")
        if self.api_key is not None:
            _check_key(self.api_key)


def _check_key(key: str) -> None:
    """Refuse a key that an `Authorization` header cannot carry; the message does not contain the key."""
    if not key:
        raise ValueError("api_key = '': must not be empty; leave it out for no key")
    if not all("!" <= character <= "~" for character in key):
        raise ValueError("api_key: must be visible ASCII characters, without blanks or line ends")

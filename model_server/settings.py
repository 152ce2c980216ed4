"""The bounds of the HTTP face. Each has its own error, so that a caller knows which one was met."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^\s/,*]+")


class Bound(NamedTuple):
    """A bound that both servers and `paceline serve` have an option for."""

    field: str
    type: type[int] | type[float]
    help: str

    @property
    def option(self) -> str:
        return "--" + self.field.removesuffix("_s").replace("_", "-")


BOUNDS = (
    Bound("body_max_bytes", int, "Bytes of a request's body, also after unpacking it."),
    Bound("items_max", int, "Texts, labels or pairs in one request."),
    Bound("text_max_chars", int, "Characters of one text."),
    Bound("tokens_max", int, "Tokens that a request may ask for."),
    Bound("body_timeout_s", float, "Seconds from the head of a request to the last byte of its body."),
    Bound("head_max_bytes", int, "Bytes of a request's head."),
    Bound("head_max_fields", int, "Header fields of a request."),
    Bound("keep_alive_s", float, "Seconds that a connection may be idle."),
)


@dataclass(frozen=True)
class FaceSettings:
    """Bounds on what a request may hold, the optional API key, and the web pages that may call."""

    body_max_bytes: int = 4 << 20
    items_max: int = 2048  # texts, labels, pairs in one request
    text_max_chars: int = 500_000
    tokens_max: int = 8192  # what `max_tokens` may ask for
    body_timeout_s: float = 60.0  # from the head of a request to the last byte of its body
    head_max_bytes: int = 64 << 10
    head_max_fields: int = 100
    keep_alive_s: float = 75.0
    api_key: str | None = None
    cors_origins: tuple[str, ...] = ()  # of web pages whose scripts may call; `*` for all

    def __post_init__(self) -> None:
        for bound in BOUNDS:
            value = getattr(self, bound.field)
            if bound.type is int and value < 1:
                raise ValueError(f"{bound.field} = {value!r}: must be an integer >= 1")
            if bound.type is float and not 0 < value <= 86_400:
                raise ValueError(f"{bound.field} = {value!r}: must be > 0 and <= 86400")
        for origin in self.cors_origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"cors_origins = {origin!r}: must be * or like https://example.org, without a path")
        if self.api_key is not None:
            _check_key(self.api_key)


def _check_key(key: str) -> None:
    """Refuse a key that no `Authorization` header can carry; the key itself is not repeated."""
    if not key:
        raise ValueError("api_key = '': must not be empty; leave it out for no key")
    if not all("!" <= character <= "~" for character in key):
        raise ValueError("api_key: must be visible ASCII characters, without blanks or line ends")

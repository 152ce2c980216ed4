"""The bounds of the HTTP face. Each has its own error, so that a caller knows which one was met."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FaceSettings:
    """Bounds on what a request may hold, and the optional API key."""

    body_max_bytes: int = 4 << 20
    items_max: int = 2048  # texts, labels, pairs in one request
    text_max_chars: int = 500_000
    tokens_max: int = 8192  # what `max_tokens` may ask for
    body_timeout_s: float = 60.0  # from the head of a request to the last byte of its body
    api_key: str | None = None

    def __post_init__(self) -> None:
        for name in ("body_max_bytes", "items_max", "text_max_chars", "tokens_max"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} = {value!r}: must be an integer >= 1")
        if not self.body_timeout_s > 0:
            raise ValueError(f"body_timeout_s = {self.body_timeout_s!r}: must be > 0")
        if self.api_key is not None:
            _check_key(self.api_key)


def _check_key(key: str) -> None:
    """Refuse a key that no `Authorization` header can carry; the key itself is not repeated."""
    if not key:
        raise ValueError("api_key = '': must not be empty; leave it out for no key")
    if not all("!" <= character <= "~" for character in key):
        raise ValueError("api_key: must be visible ASCII characters, without blanks or line ends")

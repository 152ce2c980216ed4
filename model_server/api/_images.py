"""Images in the messages of a chat: to the simulated model each is a number of words of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from model_server.errors import ApiError, invalid

if TYPE_CHECKING:
    from model_server.api._openai_types import ContentPart
    from model_server.http.app import App

IMAGE_TOKENS = 85
"""Tokens of an image, as OpenAI counts one of low detail."""
_URLS = ("https://", "http://", "data:image/")


def part_text(app: App, part: ContentPart, field: str) -> str:
    """The text of a part of a message; an image is replaced by words that depend on its URL. Raises `ApiError`."""
    if part.type == "text":
        if part.text is None:
            raise invalid(f"{field}.text: is required", f"{field}.text", "missing_field")
        return part.text
    if not app.engine.info.images:
        raise ApiError(
            400, f"{field}: the model of this server reads no images", code="unsupported_parameter", param=field
        )
    if part.image_url is None:
        raise invalid(f"{field}.image_url: is required", f"{field}.image_url", "missing_field")
    url = part.image_url if isinstance(part.image_url, str) else part.image_url.url
    if not url.startswith(_URLS):
        message = f"{field}.image_url.url: must begin with https://, http:// or data:image/"
        raise invalid(message, f"{field}.image_url.url", "invalid_value")
    return f" image{crc32(url.encode()):08x}" * IMAGE_TOKENS + " "

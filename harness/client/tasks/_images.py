"""Images of a row, as parts of a message: files become data URLs, and URLs are sent as they are."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.client.errors import ItemError
from harness.client.tasks._decode import checked_text

FILE_MAX = 20 * 1024 * 1024  # bytes of a file; OpenAI's own bound of an image
IMAGES_MAX = 100
_URLS = ("http://", "https://", "data:")
_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
}


def image_parts(row: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
    """The parts for the paths or URLs under `field`, one or a list; none if it is missing. Raises ItemError."""
    value = row.get(field)
    if value is None or value == "":
        return []
    values = value if isinstance(value, list) else [value]
    if len(values) > IMAGES_MAX:
        raise ItemError(f"{field}: has {len(values)} images, more than {IMAGES_MAX}")
    names = [field] if not isinstance(value, list) else [f"{field}[{place}]" for place in range(len(values))]
    return [_part(one, name) for one, name in zip(values, names, strict=True)]


def _part(value: Any, field: str) -> dict[str, Any]:
    if isinstance(value, str) and value.startswith("data:"):
        _check_size(len(value) * 3 // 4, field, "the data URL")
        return {"type": "image_url", "image_url": {"url": value}}
    text = checked_text(value, field)
    return {"type": "image_url", "image_url": {"url": text if text.startswith(_URLS) else data_url(text, field)}}


def data_url(path: str, field: str) -> str:
    """The image in a file; raises ItemError for a file that cannot be read, is no image, or is too large."""
    shown = repr(path[:80])
    try:
        # Opening a pipe would wait for its writer.
        if Path(path).exists() and not Path(path).is_file():
            raise ItemError(f"{field}: {shown}: is no file")
        with Path(path).open("rb") as file:
            data = file.read(FILE_MAX + 1)
    except (OSError, ValueError) as error:
        raise ItemError(f"{field}: {shown}: {getattr(error, 'strerror', None) or error}") from error
    _check_size(len(data), field, shown)
    return f"data:{_media_type(data, field, shown)};base64,{base64.b64encode(data).decode()}"


def _check_size(size: int, field: str, shown: str) -> None:
    if size > FILE_MAX:
        raise ItemError(f"{field}: {shown}: has more than {FILE_MAX} bytes")


def _media_type(data: bytes, field: str, shown: str) -> str:
    """By its first bytes: an ending may be missing or wrong."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    found = next((kind for signature, kind in _SIGNATURES.items() if data.startswith(signature)), None)
    if found is None:
        raise ItemError(f"{field}: {shown}: is no image (PNG, JPEG, WebP, GIF, BMP, TIFF)")
    return found


def with_images(content: Any, parts: list[dict[str, Any]]) -> Any:
    """The content of a message with the images after its text."""
    if not parts:
        return content
    before = content if isinstance(content, list) else [{"type": "text", "text": content}] if content else []
    return [*before, *parts]

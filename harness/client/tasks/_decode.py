"""Common functions of tasks: check the fields of a row, and decode answers by type.

Rules of this file
  1. A row that is not an item is an `ItemError` that names the field; it never becomes a request.
  2. A body that violates the API is a `BadResponse`; there are no defaults.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import msgspec

from harness.client.errors import BadResponse, ItemError
from harness.client.redaction import excerpt
from harness.client.transport.event_stream import SseSplitter
from harness.client.types import Item

TEXT_MAX = 1_000_000  # characters of one text; a longer one is a mistake in the input

_MARK = b"\xef\xbb\xbf"  # of UTF-8, which some servers begin with
# The last: nested too deeply.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
encode = msgspec.json.Encoder().encode
_T = TypeVar("_T")


def text_field(row: Mapping[str, Any], field: str) -> str:
    """The text under `field`; raises ItemError that names it."""
    return checked_text(row.get(field), field)


def checked_text(value: Any, field: str) -> str:
    """The value if it is a text that can be sent; raises ItemError that names the field."""
    if not isinstance(value, str):
        found = "is missing" if value is None else f"is {type(value).__name__}, not a text"
        raise ItemError(f"{field}: {found}")
    if len(value) > TEXT_MAX:
        raise ItemError(f"{field}: has {len(value)} characters, more than {TEXT_MAX}")
    if not value.isascii() and not _encodable(value):
        raise ItemError(f"{field}: holds half of a surrogate pair, which UTF-8 cannot carry")
    return value


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def one(items: Sequence[Item]) -> Item:
    """The only item of a request to an API that takes one."""
    if len(items) != 1:
        raise ValueError(f"this task sends one item a request, not {len(items)}")
    return items[0]


def events_in(body: bytes) -> list[bytes] | None:
    """The payloads of an event stream that was sent in place of a plain answer; None if the body is no stream."""
    if not body[:80].lstrip(b"\xef\xbb\xbf\r\n ").startswith((b"data:", b"event:", b":")):
        return None
    splitter = SseSplitter()
    events = splitter.feed(body)
    splitter.close()
    return events


def decode(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    """The body by the decoder's type; raises BadResponse with the reason and the beginning of the body."""
    try:
        return decoder.decode(body)
    except _UNREADABLE as error:
        if not body.startswith(_MARK):
            raise _bad(error, body) from error
    try:
        return decoder.decode(body.removeprefix(_MARK))
    except _UNREADABLE as error:
        raise _bad(error, body) from error


def _bad(error: Exception, body: bytes) -> BadResponse:
    return BadResponse(f"{error}: {excerpt(body, 120)!r}")


def probability(value: float, field: str) -> float:
    """A finite score in [0, 1], within rounding."""
    return within(value, 0.0, 1.0, field)


def within(value: float, low: float, high: float, field: str) -> float:
    """A finite score in [low, high]; a rounding error of float32 beyond is accepted and kept."""
    if not low - 1e-6 <= value <= high + 1e-6:  # false for NaN as well
        raise BadResponse(f"{field}={value!r} is not between {low:g} and {high:g}")
    return value


def finite(values: Iterable[float], field: str) -> None:
    """Raise BadResponse unless every number is finite."""
    if not all(map(math.isfinite, values)):
        raise BadResponse(f"{field}: holds a number that is not finite")


def no_stream(task: str) -> NoReturn:
    """For tasks whose API has no event stream."""
    raise BadResponse(f"{task}: answered with an event stream, which it has not")


def filled_text(row: Mapping[str, Any], field: str) -> str:
    """The text under `field`, which must not be blank; raises ItemError that names it."""
    text = text_field(row, field)
    if not text.strip():
        raise ItemError(f"{field}: is blank")
    return text

"""The answer in a body: its places, types and ranges, and the server's token counts.

Rules of this file
  1. Everything is checked; there are no defaults. A body that does not have the answer is a bad response that says what
     it has instead.
  2. The conditions of success (`conditions.py`) are judged first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from harness.client.answers import Usage, consistent, is_count
from harness.client.errors import BadResponse
from harness.client.redaction import excerpt
from harness.client.tasks.http.conditions import shown
from harness.client.tasks.http.pointer import MISSING, Tokens, found, kind_of, pointer, why_missing

_decode = msgspec.json.Decoder().decode
_MARK = b"\xef\xbb\xbf"
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")


class Counted(msgspec.Struct, frozen=True):
    """An answer with the server's token counts."""

    value: Any
    usage: Usage | None = None


class Place(msgspec.Struct, frozen=True):
    """A value of the answer: its place, its type, its range."""

    tokens: Tokens
    kind: str = "any"
    optional: bool = False
    low: float | None = None
    high: float | None = None
    # Of each element of a list.
    each: AnswerPlaces | None = None
    # Between the texts of the elements, which are one text then; those without one are left out.
    join: str | None = None

    def read(self, body: Any) -> Any:
        """The value in a body; raises BadResponse."""
        value = found(body, self.tokens)
        if value is MISSING or (value is None and (self.optional or self.kind != "any")):
            if self.optional:
                return None
            missing = why_missing(body, self.tokens) if value is MISSING else "it is null"
            raise BadResponse(f"{self} is missing: {missing}")
        if self.kind != "any":
            # Its name is made only for an error.
            value = READERS[self.kind](value, self)
        if self.low is not None or self.high is not None:
            for each in value if type(value) is list else (value,):
                self._check_range(each)
        if self.each is None:
            return value
        read = [self._element(place, each) for place, each in enumerate(value)]
        return read if self.join is None else self._joined(read, self.join)

    def _joined(self, read: list[Any], between: str) -> str:
        texts = [one for one in read if one is not None]
        if not texts:
            raise BadResponse(f"{self}: no element has a text")
        if odd := next((one for one in texts if not isinstance(one, str)), None):
            raise BadResponse(f"{self}: an element has {kind_of(odd)}, not a text")
        return between.join(texts)

    def _element(self, place: int, element: Any) -> Any:
        assert self.each is not None  # noqa: S101 - the caller has looked
        try:
            return self.each.read(element)
        except BadResponse as error:
            raise BadResponse(f"{pointer(self.tokens)}/{place}: {error}") from error

    def __str__(self) -> str:
        return pointer(self.tokens) or "the answer"

    def _check_range(self, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadResponse(f"{self}: is {kind_of(value)}, not a number")
        low, high = self.low, self.high
        if (low is None or value >= low) and (high is None or value <= high):
            return
        bounds = [f"at least {low:g}"] if low is not None else []
        bounds += [f"at most {high:g}"] if high is not None else []
        raise BadResponse(f"{self} = {value!r} is not {' and '.join(bounds)}")


# Types.


def _number(value: Any, name: object) -> int | float:
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is str and _NUMBER.fullmatch(value):
        value = float(value) if not value.strip().lstrip("+-").isdecimal() else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        shown = f" {value[:40]!r}" if isinstance(value, str) else ""
        raise BadResponse(f"{name}: is {kind_of(value)}{shown}, not a number")
    if not math.isfinite(value):
        raise BadResponse(f"{name}: is a number that is not finite")
    return value


def _integer(value: Any, name: object) -> int:
    number = _number(value, name)
    if number != int(number):
        raise BadResponse(f"{name}: {number!r} is not a whole number")
    return int(number)


def _of(kind: type[Any], word: str) -> Callable[[Any, object], Any]:
    def read(value: Any, name: object) -> Any:
        if not isinstance(value, kind):
            raise BadResponse(f"{name}: is {kind_of(value)}, not {word}")
        return value

    return read


def _json(value: Any, name: object) -> Any:
    """The JSON in a text, as language models write it."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("```"):
        text = text.strip("`").removeprefix("json").strip()
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadResponse(f"{name}: is a text that is no JSON: {error}: {excerpt(value, 80)!r}") from error


def _numbers(value: Any, name: object) -> list[int | float]:
    if not isinstance(value, list) or not value:
        raise BadResponse(f"{name}: is {kind_of(value) if value != [] else 'an empty list'}, not a list of numbers")
    if set(map(type, value)) == {float} and all(map(math.isfinite, value)):
        return value
    return [_number(each, f"{name}/{place}") for place, each in enumerate(value)]


READERS: dict[str, Callable[[Any, object], Any]] = {
    "any": lambda value, name: value,
    "text": _of(str, "a text"),
    "number": _number,
    "integer": _integer,
    "boolean": _of(bool, "true or false"),
    "list": _of(list, "a list"),
    "numbers": _numbers,
    "object": _of(dict, "an object"),
    "json": _json,
}
"""Types of values of an answer."""
BOUNDED = frozenset({"any", "number", "integer", "numbers"})
"""Those that may have bounds."""


# The answer.


class OnePlace(msgspec.Struct, frozen=True):
    """The answer is one value."""

    place: Place

    def read(self, body: Any) -> Any:
        """The value; raises BadResponse."""
        return self.place.read(body)


class SeveralPlaces(msgspec.Struct, frozen=True):
    """The answer is an object of several values."""

    places: Mapping[str, Place]

    def read(self, body: Any) -> dict[str, Any]:
        """The values by name; raises BadResponse."""
        return {name: place.read(body) for name, place in self.places.items()}


AnswerPlaces = OnePlace | SeveralPlaces


class UsagePlaces(msgspec.Struct, frozen=True):
    """Where the server's token counts are; several places of one count are added."""

    places: Mapping[str, tuple[Tokens, ...]]

    def read(self, body: Any) -> Usage | None:
        """The counts; None if there are none."""
        counts = {name: _sum(body, places) for name, places in self.places.items()}
        return consistent(Usage(**counts)) if any(count is not None for count in counts.values()) else None


def _sum(body: Any, places: Sequence[Tokens]) -> int | None:
    """The sum of the counts that are there; None if there is none."""
    counts = [count for tokens in places if (count := _count(found(body, tokens))) is not None]
    return sum(counts) if counts else None


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value != value // 1:
        return None
    return int(value) if is_count(int(value)) else None


class BatchAnswers(msgspec.Struct, frozen=True):
    """Where the answers of the items of one request are: a list, in their order or with an index each.

    A flat list has the same number of values for each item, as the data of a tensor: one is the answer, several a list.
    """

    tokens: Tokens
    index: Tokens | None = None
    flat: bool = False

    def read(self, body: Any, items: int) -> list[Any]:
        """One element for each item; raises BadResponse."""
        elements = found(body, self.tokens)
        name = pointer(self.tokens) or "the answer"
        if not isinstance(elements, list):
            missing = why_missing(body, self.tokens) if elements is MISSING else f"it is {kind_of(elements)}"
            raise BadResponse(f"{name} is not the list of answers: {missing}")
        if self.flat and elements and len(elements) % items == 0:
            return _cut(elements, len(elements) // items)
        if len(elements) != items:
            what = "values, which cannot be shared out among" if self.flat else "answers for"
            raise BadResponse(f"{name}: {len(elements)} {what} {items} items")
        return elements if self.index is None else self._ordered(elements, name)

    def _ordered(self, elements: Sequence[Any], name: str) -> list[Any]:
        assert self.index is not None  # noqa: S101 - the caller has looked
        ordered: list[Any] = [MISSING] * len(elements)
        for element in elements:
            index = found(element, self.index)
            if type(index) is not int or not 0 <= index < len(ordered) or ordered[index] is not MISSING:
                raise BadResponse(
                    f"{name}: index {shown(index) if index is not MISSING else 'missing'}, twice or out "
                    f"of place among {len(ordered)} items"
                )
            ordered[index] = element
        return ordered


def _cut(elements: list[Any], size: int) -> list[Any]:
    """Pieces of a flat list; a piece of one value is the value."""
    if size == 1:
        return elements
    return [elements[at : at + size] for at in range(0, len(elements), size)]


def document(body: bytes, form: str) -> Any:
    """The body as JSON, or as text; raises BadResponse that says what came instead."""
    body = body.removeprefix(_MARK)
    if form == "text":
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            raise BadResponse(f"the answer is not UTF-8: {error}") from error
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadResponse(f"{_what(body, str(error))}: {excerpt(body, 120)!r}") from error


def _what(body: bytes, error: str) -> str:
    begins = body.lstrip()[:200].lower()
    if not begins:
        return 'the answer is empty; answer_format = "text" accepts that'
    if begins.startswith((b"<!doctype html", b"<html")):
        return "the answer is an HTML page, not JSON"
    if begins.startswith(b"<"):
        return 'the answer is XML, not JSON; XML is not read (answer_format = "text" keeps it as a text)'
    if begins.startswith((b"data:", b"event:", b":")):
        return "the answer is a stream of server-sent events, not JSON; describe it under [stream]"
    if error.startswith("JSON is malformed: trailing") and b"\n" in body.strip():
        return 'the answer is several JSON documents; a stream of them is [stream] with format = "json-lines"'
    return f"the answer is not JSON ({error})"

"""POST /v1/embeddings (OpenAI): {"input"} -> a vector."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import msgspec

from harness.client.checks import between
from harness.client.errors import BadResponse, ItemError
from harness.client.tasks._decode import decode, encode, filled_text, finite, no_stream
from harness.client.tasks._said import Oddities
from harness.client.types import Answers, Item, Request

Vector = tuple[float, ...]


class _Body(msgspec.Struct, omit_defaults=True):
    input: str | list[str]
    model: str | None = None
    dimensions: int | None = None
    encoding_format: str | None = None


class _Row(msgspec.Struct):
    embedding: Any
    index: Any = None


class _Answer(msgspec.Struct):
    data: list[_Row]
    usage: Any = None


_answer = msgspec.json.Decoder(_Answer)
_ELSEWHERE = ("model", "dimensions", "encoding_format", "truncate", "truncate_prompt_tokens", "input_type", "task_type")
"""Parameters that change a vector. Several rows share a request, so they are set for all rows, or not at all."""


@dataclass(frozen=True)
class Embed:
    """A text as a vector (OpenAI embeddings); takes several items a request, and all vectors have one length.

    Args:
        model: Name of the model. Default None: the server's own choice.
        dimensions: Length of the vectors. Default None: as the model makes them.
        encoding_format: "float", or "base64", which makes answers smaller: float32 in little-endian order. Default
            "float".
    """

    model: str | None = None
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] = "float"
    row_fields: ClassVar[frozenset[str]] = frozenset({"text", "input", *_ELSEWHERE})

    def __post_init__(self) -> None:
        if self.dimensions is not None:
            between(self, 1, 100_000, "dimensions")

    @property
    def name(self) -> str:
        return "embed"

    def parse(self, row: Mapping[str, Any], /) -> str:
        """{"text"}, or {"input"} as OpenAI calls it; not blank."""
        same = {"model": self.model, "dimensions": self.dimensions, "encoding_format": self.encoding_format}
        same["truncate"] = False
        for field in _ELSEWHERE:
            if row.get(field) is not None and row[field] != same.get(field):
                raise ItemError(f"{field}: is not sent for a single row; {_hint(field)}")
        return filled_text(row, "input" if "text" not in row and "input" in row else "text")

    def request(self, items: Sequence[Item], /) -> Request:
        if not items:
            raise ValueError("a request needs at least one item")
        texts = items[0].data if len(items) == 1 else [item.data for item in items]
        encoding = self.encoding_format if self.encoding_format != "float" else None
        body = encode(_Body(texts, self.model, self.dimensions, encoding))
        return Request(tuple(items), self, "/v1/embeddings", body)

    def answer(self, request: Request, body: bytes, /) -> tuple[Vector, ...]:
        """One vector an item, put in the order of the items by its index."""
        expected, odd = len(request.items), Oddities()
        vectors: list[Vector | None] = [None] * expected
        answer = decode(_answer, body)
        rows = answer.data
        unnumbered = bool(rows) and all(row.index is None for row in rows)
        for place, row in enumerate(rows):
            index = place if unnumbered else row.index
            odd.count += unnumbered or type(index) is float
            if not isinstance(index, int | float) or index not in range(expected) or vectors[int(index)] is not None:
                raise BadResponse(f"data: index {index!r} twice or out of place among {expected} items")
            odd.count += isinstance(row.embedding, str) is not (self.encoding_format == "base64")
            vectors[int(index)] = _vector(row.embedding, f"data[{index}].embedding")
        whole = tuple(vector for vector in vectors if vector is not None)
        if len(whole) != expected:
            raise BadResponse(f"data: {len(whole)} vectors for {expected} items")
        sizes = {len(vector) for vector in whole}
        if len(sizes) != 1:
            raise BadResponse("data: vectors of different lengths")
        if self.dimensions is not None and sizes != {self.dimensions}:
            raise BadResponse(f"data: vectors of {sizes.pop()} numbers, where {self.dimensions} were asked for")
        return Answers(whole, odd.count, odd.usage(answer.usage))

    def answer_stream(self, request: Request, events: Sequence[bytes], /) -> tuple[Any, ...]:
        no_stream(self.name)

    def text_of(self, data: str, /) -> str:
        return data

    def with_text(self, data: str, text: str, /) -> str:
        return text

    def synthetic(self, words: Callable[[int], str], length: int, /) -> str:
        return words(max(1, length))


def _hint(field: str) -> str:
    known = field in ("model", "dimensions", "encoding_format")
    return f"set it for all of them with --task embed:{field}=..." if known else "leave the column out"


def _vector(value: Any, field: str) -> Vector:
    """Numbers as a list, or as float32 in base64 (OpenAI's other encoding); raises BadResponse for anything else."""
    if isinstance(value, str):
        try:
            data = base64.b64decode(value, validate=True)
        except ValueError:
            data = b"?"
        if len(data) % 4:
            raise BadResponse(f"{field}: is a text that is no float32 numbers in base64")
        numbers = struct.unpack(f"<{len(data) // 4}f", data)
    elif isinstance(value, list) and all(type(number) in (float, int) for number in value):
        try:
            numbers = tuple(map(float, value))
        except OverflowError as error:
            raise BadResponse(f"{field}: {error}") from error
    else:
        raise BadResponse(f"{field}: is no list of numbers")
    if not numbers:
        raise BadResponse(f"{field}: is empty")
    finite(numbers, field)
    return numbers

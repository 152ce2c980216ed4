"""POST /v1/embeddings (OpenAI): {"input"} -> a vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from harness.client.errors import BadResponse
from harness.client.tasks._decode import decode, encode, filled_text, finite, no_stream
from harness.client.types import Item, Request

Vector = tuple[float, ...]


class _Body(msgspec.Struct, omit_defaults=True):
    input: str | list[str]
    model: str | None = None


class _Row(msgspec.Struct):
    index: int
    embedding: Vector


class _Answer(msgspec.Struct):
    data: list[_Row]


_answer = msgspec.json.Decoder(_Answer)


@dataclass(frozen=True)
class Embed:
    """A text as a vector (OpenAI embeddings); takes several items a request, and all vectors have one length."""

    model: str | None = None  # none: the server's own

    @property
    def name(self) -> str:
        return "embed"

    def parse(self, row: Mapping[str, Any], /) -> str:
        """{"text"}, or {"input"} as OpenAI calls it; not blank."""
        return filled_text(row, "input" if "text" not in row and "input" in row else "text")

    def request(self, items: Sequence[Item], /) -> Request:
        if not items:
            raise ValueError("a request needs at least one item")
        texts = items[0].data if len(items) == 1 else [item.data for item in items]
        return Request(tuple(items), self, "/v1/embeddings", encode(_Body(texts, self.model)))

    def answer(self, request: Request, body: bytes, /) -> tuple[Vector, ...]:
        """One vector an item, put in the order of the items by its index."""
        expected = len(request.items)
        vectors: list[Vector | None] = [None] * expected
        rows = decode(_answer, body).data
        for row in rows:
            if not 0 <= row.index < expected or vectors[row.index] is not None:
                raise BadResponse(f"data: index {row.index} twice or out of place among {expected} items")
            if not row.embedding:
                raise BadResponse(f"data[{row.index}].embedding: is empty")
            finite(row.embedding, f"data[{row.index}].embedding")
            vectors[row.index] = row.embedding
        whole = tuple(vector for vector in vectors if vector is not None)
        if len(whole) != expected:
            raise BadResponse(f"data: {len(whole)} vectors for {expected} items")
        if len({len(vector) for vector in whole}) != 1:
            raise BadResponse("data: vectors of different lengths")
        return whole

    def answer_stream(self, request: Request, events: Sequence[bytes], /) -> tuple[Any, ...]:
        no_stream(self.name)

    def synthetic(self, words: Callable[[int], str], length: int, /) -> str:
        return words(max(1, length))

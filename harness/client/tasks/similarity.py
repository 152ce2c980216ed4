"""POST /similarity: {"text1", "text2"} -> {"similarity_score"}."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from harness.client.tasks._decode import decode, encode, no_stream, one, text_field, within
from harness.client.types import Item, Request


class SentencePair(msgspec.Struct, frozen=True):
    """Two texts to compare; this is also the body as it is sent."""

    text1: str
    text2: str


class _Answer(msgspec.Struct):
    similarity_score: float


_answer = msgspec.json.Decoder(_Answer)


@dataclass(frozen=True)
class Similarity:
    """How alike two sentences are; the answer is a score in [-1, 1]."""

    row_fields: ClassVar[frozenset[str]] = frozenset({"text1", "text2"})

    @property
    def name(self) -> str:
        return "similarity"

    def parse(self, row: Mapping[str, Any], /) -> SentencePair:
        """{"text1", "text2"}."""
        return SentencePair(text_field(row, "text1"), text_field(row, "text2"))

    def request(self, items: Sequence[Item], /) -> Request:
        item = one(items)
        return Request((item,), self, "/similarity", encode(item.data))

    def answer(self, request: Request, body: bytes, /) -> tuple[float]:
        return (within(decode(_answer, body).similarity_score, -1.0, 1.0, "similarity_score"),)

    def answer_stream(self, request: Request, events: Sequence[bytes], /) -> tuple[Any, ...]:
        no_stream(self.name)

    def synthetic(self, words: Callable[[int], str], length: int, /) -> SentencePair:
        """Two texts of half the length each, so that the pair has `length` tokens."""
        half = max(1, length // 2)
        return SentencePair(words(half), words(max(1, length - half)))

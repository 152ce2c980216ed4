"""POST /fill-mask: {"text", "top_k"} -> candidates for each [MASK]."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from harness.client.checks import between
from harness.client.errors import BadResponse, ItemError
from harness.client.tasks._decode import decode, encode, no_stream, one, probability, text_field
from harness.client.types import Item, Request

MASK = "[MASK]"


class Candidate(msgspec.Struct, frozen=True):
    """One way to fill a mask: its probability, its token, and the whole text with it."""

    score: float
    token: int
    token_str: str
    sequence: str


Masks = tuple[tuple[Candidate, ...], ...]
"""For each mask of the text, its candidates, best first."""


class _Body(msgspec.Struct):
    text: str
    top_k: int


_answer = msgspec.json.Decoder(tuple[Candidate | tuple[Candidate, ...], ...])


@dataclass(frozen=True)
class FillMask:
    """The words that fit each [MASK] of a text, with their probabilities.

    Args:
        top_k: Candidates for each mask. Default 5.
    """

    top_k: int = 5
    row_fields: ClassVar[frozenset[str]] = frozenset({"text", "top_k", "targets"})

    def __post_init__(self) -> None:
        between(self, 1, 100, "top_k")

    @property
    def name(self) -> str:
        return "fill-mask"

    def parse(self, row: Mapping[str, Any], /) -> str:
        """{"text"} with at least one [MASK], in this spelling."""
        text = text_field(row, "text")
        if row.get("top_k") not in (None, self.top_k):
            raise ItemError(f"top_k: is not sent for a single row; set it with --task fill-mask:top_k={row['top_k']}")
        if row.get("targets"):
            raise ItemError("targets: is not a parameter of this API")
        if MASK not in text:
            raise ItemError(f"text: has no {MASK} (spelled so)")
        return text

    def request(self, items: Sequence[Item], /) -> Request:
        item = one(items)
        return Request((item,), self, "/fill-mask", encode(_Body(item.data, self.top_k)))

    def answer(self, request: Request, body: bytes, /) -> tuple[Masks]:
        """One list of candidates for each mask: the API answers a flat list where there is one mask."""
        expected = request.items[0].data.count(MASK)
        flat: list[Candidate] = []
        lists: list[tuple[Candidate, ...]] = []
        for part in decode(_answer, body):
            if isinstance(part, Candidate):
                flat.append(part)
            else:
                lists.append(part)
        masks: Masks = (tuple(flat),) if flat and not lists else tuple(lists)
        if (flat and lists) or len(masks) != expected:
            raise BadResponse(f"candidates for {len(masks)} masks, where the text has {expected}")
        for candidates in masks:
            self._check(candidates)
        return (masks,)

    def _check(self, candidates: tuple[Candidate, ...]) -> None:
        if not 1 <= len(candidates) <= self.top_k:
            raise BadResponse(f"{len(candidates)} candidates for a mask, where 1 to {self.top_k} were asked for")
        for candidate in candidates:
            probability(candidate.score, "score")

    def answer_stream(self, request: Request, events: Sequence[bytes], /) -> tuple[Any, ...]:
        no_stream(self.name)

    def synthetic(self, words: Callable[[int], str], length: int, /) -> str:
        """About `length` words with one mask in their middle."""
        before = max(1, (length - 1) // 2)
        return f"{words(before)} {MASK} {words(max(1, length - 1 - before))}."

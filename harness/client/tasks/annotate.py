"""POST /annotate: {"text", "max_tokens"} -> {"text"}, whole or as server-sent events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from harness.client.errors import BadResponse
from harness.client.settings import between
from harness.client.tasks._decode import decode, encode, filled_text, one
from harness.client.types import Item, Request
from harness.client.wire import DONE


class _Body(msgspec.Struct):
    text: str
    max_tokens: int
    stream: bool = False


class _Answer(msgspec.Struct):
    text: str


class _Event(msgspec.Struct):
    text: str | msgspec.UnsetType = msgspec.UNSET
    done: bool = False
    error: Any = None


_answer = msgspec.json.Decoder(_Answer)
_event = msgspec.json.Decoder(_Event)


@dataclass(frozen=True)
class Annotate:
    """A text annotated by a language model, whole or token by token; the answer is the generated text."""

    max_tokens: int = 64
    stream: bool = False  # as server-sent events, so that time to first token is seen

    def __post_init__(self) -> None:
        between(self, 1, 1_000_000, "max_tokens")

    @property
    def name(self) -> str:
        return "annotate"

    def parse(self, row: Mapping[str, Any], /) -> str:
        """{"text"}, not blank."""
        return filled_text(row, "text")

    def request(self, items: Sequence[Item], /) -> Request:
        item = one(items)
        body = encode(_Body(item.data, self.max_tokens, self.stream))
        return Request((item,), self, "/annotate", body, stream=self.stream)

    def answer(self, request: Request, body: bytes, /) -> tuple[str]:
        return (decode(_answer, body).text,)

    def answer_stream(self, request: Request, events: Sequence[bytes], /) -> tuple[str]:
        """The pieces joined; a stream without an end mark, or with none at all, is not an answer."""
        pieces: list[str] = []
        ended = False
        for payload in events:
            if payload == DONE:
                ended = True
                break
            event = decode(_event, payload)
            if event.error is not None:
                raise BadResponse(f"an error inside the stream: {str(event.error)[:200]}")
            if not isinstance(event.text, msgspec.UnsetType):
                pieces.append(event.text)
            elif not event.done:
                raise BadResponse(f"an event without text: {payload[:120]!r}")
            ended = ended or event.done
        if not ended:
            raise BadResponse(f"the stream broke off after {len(pieces)} pieces, without its end mark")
        if not pieces:
            raise BadResponse("the stream ended without a piece of text")
        return ("".join(pieces),)

    def synthetic(self, words: Callable[[int], str], length: int, /) -> str:
        return words(max(1, length))

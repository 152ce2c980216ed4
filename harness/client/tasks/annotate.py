"""POST /annotate: {"text", "max_tokens"} -> {"text"}, whole or as server-sent events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from harness.client.checks import between
from harness.client.errors import BadResponse
from harness.client.parameters import parameters_of
from harness.client.redaction import excerpt
from harness.client.tasks._conversation import tokens
from harness.client.tasks._decode import decode, encode, events_in, filled_text, one
from harness.client.tasks._said import Oddities
from harness.client.transport.event_stream import DONE
from harness.client.types import Answers, Item, Request, oddities_of


class _Body(msgspec.Struct):
    text: str
    max_tokens: int
    stream: bool = False


class Asked(str):
    """The text of a row with its own `max_tokens`."""

    parameters: Mapping[str, Any]

    def __new__(cls, text: str, parameters: Mapping[str, Any]) -> Asked:
        made = super().__new__(cls, text)
        made.parameters = parameters
        return made


class _Answer(msgspec.Struct):
    text: str


_answer = msgspec.json.Decoder(_Answer)
_event = msgspec.json.Decoder()


@dataclass(frozen=True)
class Annotate:
    """A text annotated by a language model, whole or token by token; the answer is the generated text.

    Args:
        max_tokens: Upper bound of generated tokens, for rows without their own. Default 64.
        stream: Whether the answer comes as server-sent events, so that time to first token is measured. Default
            False.
    """

    max_tokens: int = 64
    stream: bool = False
    row_fields: ClassVar[frozenset[str]] = frozenset({"text", "max_tokens"})

    def __post_init__(self) -> None:
        between(self, 1, 1_000_000, "max_tokens")

    @property
    def name(self) -> str:
        return "annotate"

    def parse(self, row: Mapping[str, Any], /) -> str:
        """{"text"}, not blank; and optionally "max_tokens"."""
        text = filled_text(row, "text")
        own = row.get("max_tokens")
        return text if own is None else Asked(text, {"max_tokens": tokens(own, "max_tokens")})

    def request(self, items: Sequence[Item], /) -> Request:
        item = one(items)
        body = encode(_Body(str(item.data), parameters_of(item).get("max_tokens", self.max_tokens), self.stream))
        return Request((item,), self, "/annotate", body, stream=self.stream)

    def answer(self, request: Request, body: bytes, /) -> tuple[str]:
        if (events := events_in(body)) is not None:
            answers = self.answer_stream(request, events)
            return _answers(answers[0], 1 + oddities_of(answers))
        return (decode(_answer, body).text,)

    def answer_stream(self, request: Request, events: Sequence[bytes], /) -> tuple[str]:
        """The pieces joined; a stream without an end mark, or with nothing before it, is not an answer."""
        pieces: list[str] = []
        odd, said, ended = Oddities(), False, False
        for payload in events:
            if payload == DONE:
                ended = True
                break
            event = odd.object(decode(_event, payload) if payload else None)
            if event is None:
                continue
            if event.get("error"):
                raise BadResponse(f"an error inside the stream: {excerpt(str(event['error']), 200)}")
            text, done = event.get("text"), event.get("done") is True
            if isinstance(text, str):
                pieces.append(text)
            elif text is not None:
                raise BadResponse(f"an event whose text is {type(text).__name__}: {excerpt(payload, 120)!r}")
            else:
                odd.count += not done
            said = said or done or text is not None
            ended = ended or done
        if not ended:
            raise BadResponse(f"the stream broke off after {len(pieces)} pieces, without its end mark")
        if not said:
            raise BadResponse("the stream ended without a piece of text")
        return _answers("".join(pieces), odd.count)

    def text_of(self, data: str, /) -> str:
        return data

    def with_text(self, data: str, text: str, /) -> str:
        return Asked(text, data.parameters) if isinstance(data, Asked) else text

    def joined(self, answers: Sequence[str], separator: str, /) -> str:
        return separator.join(answers)

    def synthetic(self, words: Callable[[int], str], length: int, /) -> str:
        return words(max(1, length))


def _answers(text: str, oddities: int) -> tuple[str]:
    return Answers((text,), oddities)

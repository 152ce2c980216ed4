"""POST /v1/chat/completions (OpenAI): messages -> the assistant's text, whole or as server-sent events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from harness.client.errors import BadResponse, ItemError
from harness.client.settings import between
from harness.client.tasks._decode import checked_text, decode, encode, filled_text, one
from harness.client.types import Item, Request
from harness.client.wire import DONE

MESSAGES_MAX = 1_000


class Message(msgspec.Struct, frozen=True):
    """Who said what."""

    role: str
    content: str


class Usage(msgspec.Struct, frozen=True):
    """The server's count of tokens."""

    prompt_tokens: int
    completion_tokens: int = 0


class Completion(msgspec.Struct, frozen=True):
    """What the assistant said, why it ended, and the tokens if the server counted them."""

    text: str
    finish_reason: str | None = None
    usage: Usage | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _Body(msgspec.Struct, omit_defaults=True):
    messages: tuple[Message, ...]
    max_tokens: int
    model: str | None = None
    temperature: float | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None


class _Said(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: Any = None


class _Choice(msgspec.Struct):
    message: _Said
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice]
    usage: Usage | None = None


class _Delta(msgspec.Struct):
    delta: _Said
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Delta] | msgspec.UnsetType = msgspec.UNSET
    usage: Usage | None = None
    error: Any = None


_answer = msgspec.json.Decoder(_Answer)
_chunk = msgspec.json.Decoder(_Chunk)


@dataclass(frozen=True)
class Chat:
    """A conversation continued by a language model (OpenAI chat), whole or token by token."""

    max_tokens: int = 64
    stream: bool = False  # as server-sent events, so that time to first token is seen
    model: str | None = None  # none: the server's own
    temperature: float | None = None  # none: the server's own

    def __post_init__(self) -> None:
        between(self, 1, 1_000_000, "max_tokens")
        if self.temperature is not None:
            between(self, 0.0, 2.0, "temperature")

    @property
    def name(self) -> str:
        return "chat"

    def parse(self, row: Mapping[str, Any], /) -> tuple[Message, ...]:
        """{"messages": [{"role", "content"}]}, or {"prompt"} or {"text"} as one message of the user."""
        if "messages" in row:
            return _messages(row["messages"])
        return (Message("user", filled_text(row, "prompt" if "prompt" in row else "text")),)

    def request(self, items: Sequence[Item], /) -> Request:
        item = one(items)
        options = _StreamOptions(include_usage=True) if self.stream else None
        body = _Body(item.data, self.max_tokens, self.model, self.temperature, self.stream, options)
        return Request((item,), self, "/v1/chat/completions", encode(body), stream=self.stream)

    def answer(self, request: Request, body: bytes, /) -> tuple[Completion]:
        answer = decode(_answer, body)
        if not answer.choices:
            raise BadResponse("choices: is empty")
        first = answer.choices[0]
        text = _text(first.message)
        if text is None:
            raise BadResponse("choices[0].message: has no content")
        return (Completion(text, first.finish_reason, answer.usage),)

    def answer_stream(self, request: Request, events: Sequence[bytes], /) -> tuple[Completion]:
        """The deltas joined; a stream without a finish reason or end mark broke off and is not an answer."""
        pieces: list[str] = []
        reason: str | None = None
        usage: Usage | None = None
        done = False
        for payload in events:
            if payload == DONE:
                done = True
                break
            chunk = decode(_chunk, payload)
            if chunk.error is not None:
                raise BadResponse(f"an error inside the stream: {str(chunk.error)[:200]}")
            if isinstance(chunk.choices, msgspec.UnsetType):
                raise BadResponse(f"an event without choices: {payload[:120]!r}")
            usage = chunk.usage or usage
            for choice in chunk.choices:
                pieces += filter(None, [_text(choice.delta)])
                reason = choice.finish_reason or reason
        if not (done and reason):
            raise BadResponse(f"the stream broke off after {len(pieces)} pieces, without its end mark")
        if not pieces:
            raise BadResponse("the stream ended without a piece of text")
        return (Completion("".join(pieces), reason, usage),)

    def synthetic(self, words: Callable[[int], str], length: int, /) -> tuple[Message, ...]:
        return (Message("user", words(max(1, length))),)


def _text(said: _Said) -> str | None:
    """What was said, whichever field it came in; a call of a tool says nothing, and that is an answer too."""
    for text in (said.content, said.refusal, said.reasoning_content):
        if text:
            return text
    return "" if said.content == "" or said.tool_calls else None


def _messages(rows: Any) -> tuple[Message, ...]:
    """A list of {"role", "content"}; raises ItemError that names the field."""
    if not isinstance(rows, list | tuple) or not 1 <= len(rows) <= MESSAGES_MAX:
        raise ItemError(f"messages: must be a list of 1 to {MESSAGES_MAX} messages")
    messages = []
    for number, row in enumerate(rows):
        where = f"messages[{number}]"
        if not isinstance(row, Mapping):
            raise ItemError(f"{where}: is {type(row).__name__}, not an object")
        role = checked_text(row.get("role"), f"{where}.role")
        messages.append(Message(role, checked_text(row.get("content"), f"{where}.content")))
    return tuple(messages)

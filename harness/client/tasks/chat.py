"""POST /v1/chat/completions (OpenAI): messages -> the assistant's text, whole or as server-sent events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from harness.client.answers import Usage
from harness.client.checks import between
from harness.client.errors import BadResponse
from harness.client.redaction import excerpt
from harness.client.tasks._conversation import Conversation, Message, conversation, parameters_of
from harness.client.tasks._decode import decode, encode, events_in, one
from harness.client.tasks._said import Completion, Oddities, Said, ToolCall, joined_completion
from harness.client.transport.outcomes import DONE, is_content
from harness.client.types import Answers, Item, Request, oddities_of

__all__ = ["Chat", "Completion", "Conversation", "Message", "ToolCall", "Usage"]

_body = msgspec.json.Decoder(dict[str, Any])
_event = msgspec.json.Decoder()


@dataclass(frozen=True)
class Chat:
    """A conversation continued by a language model (OpenAI chat), whole or token by token.

    Args:
        max_tokens: Upper bound of generated tokens, for rows without their own. Default 64.
        stream: Whether the answer comes as server-sent events, so that time to first token is measured. Default
            False.
        model: Name of the model. Default None: the server's own choice.
        temperature: Sampling temperature, 0 to 2. Default None: the server's own choice.
    """

    max_tokens: int = 64
    stream: bool = False
    model: str | None = None
    temperature: float | None = None

    def __post_init__(self) -> None:
        between(self, 1, 1_000_000, "max_tokens")
        if self.temperature is not None:
            between(self, 0.0, 2.0, "temperature")

    @property
    def name(self) -> str:
        return "chat"

    def parse(self, row: Mapping[str, Any], /) -> tuple[Message, ...]:
        """{"messages": [...]}, or {"prompt"} or {"text"} as one message of the user; and parameters of the API."""
        return conversation(row)

    def request(self, items: Sequence[Item], /) -> Request:
        item = one(items)
        own = parameters_of(item.data)
        body: dict[str, Any] = {"messages": tuple(item.data)}
        if "max_completion_tokens" not in own:
            body["max_tokens"] = self.max_tokens
        body |= {name: value for name in ("model", "temperature") if (value := getattr(self, name)) is not None}
        body |= own
        stream: bool = own.get("stream", self.stream)
        body.pop("stream", None)
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return Request((item,), self, "/v1/chat/completions", encode(body), stream=stream)

    def answer(self, request: Request, body: bytes, /) -> tuple[Completion]:
        """The first choice; an empty message is an answer if the server gives a finish reason."""
        if (events := events_in(body)) is not None:
            answers = self.answer_stream(request, events)
            return _answers(answers[0], 1 + oddities_of(answers))
        answer, odd = decode(_body, body), Oddities()
        _refuse_error(answer)
        choices = answer.get("choices")
        if not isinstance(choices, list) or not choices:
            raise BadResponse("choices: is missing or empty" if choices in (None, []) else "choices: is not a list")
        first = next(
            (choice for choice in choices if isinstance(choice, dict) and choice.get("index") == 0), choices[0]
        )
        message = first.get("message") if isinstance(first, dict) else None
        if not isinstance(message, dict):
            raise BadResponse("choices[0].message: is missing")
        said, reason = Said(odd), odd.reason(first.get("finish_reason"))
        said.add(message, "choices[0].message")
        if not said.anything and reason is None:
            raise BadResponse("choices[0].message: has no content")
        return _answers(said.completion(reason, odd.usage(answer.get("usage"))), odd.count)

    def answer_stream(self, request: Request, events: Sequence[bytes], /) -> tuple[Completion]:
        """The deltas joined; a stream without a finish reason or end mark broke off and is not an answer."""
        odd = Oddities()
        said, reason, usage, done = Said(odd), None, None, False
        first: int | None = None
        begun = False
        for payload in events:
            if payload == DONE:
                done = True
                break
            event = odd.object(decode(_event, payload) if payload else None)
            if event is None:
                continue
            _refuse_error(event)
            usage = odd.usage(event.get("usage")) or usage
            if not begun and is_content(payload):
                # A server that counts event by event says here how many tokens came at once.
                begun, first = True, None if usage is None else usage.completion_tokens
            for choice in _choices(event, odd):
                delta = choice.get("delta")
                if isinstance(delta, dict):
                    said.add(delta, "choices[0].delta")
                else:
                    odd.count += 1
                reason = odd.reason(choice.get("finish_reason")) or reason
        if not (done and reason is not None):
            raise BadResponse(f"the stream broke off after {len(events)} events, without its end mark")
        return _answers(said.completion(reason, usage), odd.count, first)

    def text_of(self, data: tuple[Message, ...], /) -> str | None:
        """The last message, if it is a text of the user."""
        last = data[-1]
        return last.content if last.role == "user" and isinstance(last.content, str) else None

    def with_text(self, data: tuple[Message, ...], text: str, /) -> tuple[Message, ...]:
        last = msgspec.structs.replace(data[-1], content=text)
        return Conversation((*data[:-1], last), parameters_of(data))

    def joined(self, answers: Sequence[Completion], separator: str, /) -> Completion:
        return joined_completion(answers, separator)

    def synthetic(self, words: Callable[[int], str], length: int, /) -> tuple[Message, ...]:
        return (Message("user", words(max(1, length))),)


def _answers(completion: Completion, oddities: int, first_tokens: int | None = None) -> tuple[Completion]:
    return Answers((completion,), oddities, completion.usage, first_tokens)


def _choices(event: dict[str, Any], odd: Oddities) -> list[dict[str, Any]]:
    """The pieces of the first choice in an event; others are ignored."""
    choices = event.get("choices")
    if not isinstance(choices, list):
        odd.count += 1
        return []
    found = [choice for choice in choices if isinstance(choice, dict)]
    odd.count += len(choices) - len(found)
    return [choice for choice in found if choice.get("index") in (0, None)]


def _refuse_error(answer: dict[str, Any]) -> None:
    if answer.get("error"):
        raise BadResponse(f"an error in place of an answer: {excerpt(str(answer['error']), 200)}")

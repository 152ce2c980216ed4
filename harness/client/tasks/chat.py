"""POST /v1/chat/completions (OpenAI): messages -> the assistant's text, whole or as server-sent events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from harness.client.answers import Usage
from harness.client.conversation import Exchange, Script
from harness.client.errors import BadResponse, ItemError
from harness.client.tasks._choices import first_choice
from harness.client.tasks._conversation import (
    REFUSED,
    SENT,
    Conversation,
    Message,
    conversation,
    exchanges_of,
    parameters_of,
    with_extra,
)
from harness.client.tasks._decode import encode, one
from harness.client.tasks._generating import Generating, answer_of_pieces, joined
from harness.client.tasks._images import image_parts, with_images
from harness.client.tasks._said import Completion, Oddities, Said, ToolCall
from harness.client.types import Item, Request

__all__ = ["Chat", "Completion", "Conversation", "Message", "ToolCall", "Usage"]


@dataclass(frozen=True)
class Chat(Generating):
    """A conversation continued by a language model (OpenAI chat), whole or token by token.

    Args:
        max_tokens: Upper bound of generated tokens, for rows without their own. Default 64.
        stream: Whether the answer comes as server-sent events, so that time to first token is measured. Default
            False.
        model: Name of the model. Default None: the server's own choice.
        temperature: Sampling temperature, 0 to 2. Default None: the server's own choice.
        image: Field of the row with an image, or a list of them: paths of files, or URLs. They are sent with the last
            message of the user. Default None: no images.
    """

    image: str | None = None
    parameter_names: ClassVar[frozenset[str]] = SENT
    refused_parameters: ClassVar[Mapping[str, str]] = REFUSED

    @property
    def name(self) -> str:
        return "chat"

    @property
    def row_fields(self) -> frozenset[str]:
        """Fields that it reads of a row."""
        image = {self.image} if self.image is not None else set()
        return frozenset({"messages", "prompt", "text", *image}) | SENT | REFUSED.keys()

    def parse(self, row: Mapping[str, Any], /) -> tuple[Message, ...]:
        """{"messages": [...]}, or {"prompt"} or {"text"} as one message of the user; and parameters of the API."""
        data = conversation(row)
        return data if self.image is None else self._with_images(data, row, self.image)

    def _with_images(self, data: tuple[Message, ...], row: Mapping[str, Any], field: str) -> tuple[Message, ...]:
        parts = image_parts(row, field)
        place = max((n for n, message in enumerate(data) if message.role == "user"), default=None)
        if not parts:
            return data
        if place is None:
            raise ItemError(f"{field}: no message of the user goes with the image")
        message = msgspec.structs.replace(data[place], content=with_images(data[place].content, parts))
        return Conversation((*data[:place], message, *data[place + 1 :]), parameters_of(data))

    def request(self, items: Sequence[Item], /) -> Request:
        item = one(items)
        own = parameters_of(item.data)
        body: dict[str, Any] = {"messages": tuple(item.data)}
        if "max_completion_tokens" not in own:
            body["max_tokens"] = self.max_tokens
        stream = self.fill(body, own)
        if stream:
            body["stream_options"] = {"include_usage": True}
        return Request((item,), self, "/v1/chat/completions", encode(with_extra(body)), stream=stream)

    def _completion(self, answer: dict[str, Any], odd: Oddities) -> Completion:
        """The first choice; an empty message is an answer if the server gives a finish reason."""
        first = first_choice(answer)
        message = first.get("message") if isinstance(first, dict) else None
        if not isinstance(message, dict):
            raise BadResponse("choices[0].message: is missing")
        said, reason = Said(odd), odd.reason(first.get("finish_reason"))
        said.add(message, "choices[0].message")
        if not said.anything and reason is None:
            raise BadResponse("choices[0].message: has no content")
        return said.completion(reason, odd.usage(answer.get("usage")))

    def answer_stream(self, request: Request, events: Sequence[bytes], /) -> tuple[Completion]:
        return answer_of_pieces(events, _add_delta)

    # Sessions.

    def script_of(self, data: tuple[Message, ...], /) -> Script:
        return exchanges_of(data, parameters_of(data))

    def turn(self, script: Script, history: Sequence[Exchange], asked: tuple[Message, ...], /) -> tuple[Message, ...]:
        said = (message for exchange in history for part in exchange for message in part)
        messages = (*script.preamble, *said, *asked)
        return Conversation(messages, script.parameters) if script.parameters else messages

    def messages_of(self, answer: Completion, /) -> tuple[Message, ...]:
        """The text alone: a server refuses calls of tools without their results."""
        return (Message("assistant", answer.text),)

    def made_up(self, data: tuple[Message, ...], /) -> tuple[Message, ...]:
        return (Message("assistant", self.text_of(data) or ""),)

    def partial_answer(self, events: Sequence[bytes], /) -> Completion:
        """The deltas until then; the reason is empty, because the server did not finish."""
        said, reason, usage, _, _ = joined(events, Oddities(), _add_delta)
        return said.completion(reason, usage)

    def text_of(self, data: tuple[Message, ...], /) -> str | None:
        """The last message, if it is a text of the user."""
        last = data[-1]
        return last.content if last.role == "user" and isinstance(last.content, str) else None

    def with_text(self, data: tuple[Message, ...], text: str, /) -> tuple[Message, ...]:
        last = msgspec.structs.replace(data[-1], content=text)
        return Conversation((*data[:-1], last), parameters_of(data))

    def synthetic(self, words: Callable[[int], str], length: int, /) -> tuple[Message, ...]:
        return (Message("user", words(max(1, length))),)


def _add_delta(said: Said, choice: dict[str, Any], odd: Oddities) -> None:
    delta = choice.get("delta")
    if isinstance(delta, dict):
        said.add(delta, "choices[0].delta")
    else:
        odd.count += 1

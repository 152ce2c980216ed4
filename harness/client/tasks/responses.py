"""POST /v1/responses (OpenAI): an input -> the model's output, whole or as named server-sent events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from harness.client.conversation import Exchange, Script
from harness.client.errors import BadResponse, ItemError
from harness.client.tasks import _conversation as conversation
from harness.client.tasks._choices import one_answer, refuse_error
from harness.client.tasks._decode import checked_text, decode, encode, filled_text, one
from harness.client.tasks._generating import Generating
from harness.client.tasks._response_output import ENDS, ResponseEvents, add_event, completion_of
from harness.client.tasks._said import Completion, Oddities, Said
from harness.client.transport.event_stream import DONE
from harness.client.types import Item, Request

SENT = frozenset(
    {
        *("model", "instructions", "max_output_tokens", "max_tool_calls", "temperature", "top_p", "top_k", "min_p"),
        *("tools", "tool_choice", "parallel_tool_calls", "text", "reasoning", "truncation", "include", "metadata"),
        *("store", "service_tier", "previous_response_id", "conversation", "prompt_cache_key", "safety_identifier"),
        *("repetition_penalty", "seed", "stop", "ignore_eos", "stream", "extra_body"),
    }
)
REFUSED = {
    "background": "its answer comes later",
    "top_logprobs": "log-probabilities are not kept",
    "max_tokens": "this API has max_output_tokens",
    "max_completion_tokens": "this API has max_output_tokens",
}
_event = msgspec.json.Decoder()
_EVENTS = ResponseEvents()


class Given(msgspec.Struct, frozen=True):
    """The input of a row, and its parameters."""

    input: str | list[Any]
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Responses(Generating):
    """An input answered by a language model (OpenAI's Responses API), whole or token by token.

    Args:
        max_tokens: Upper bound of output tokens, for rows without their own. Default 64.
        stream: Whether the answer comes as server-sent events, so that time to first token is measured. Default
            False.
        model: Name of the model. Default None: the server's own choice.
        temperature: Sampling temperature, 0 to 2. Default None: the server's own choice.
    """

    parameter_names: ClassVar[frozenset[str]] = SENT - {"text"}
    refused_parameters: ClassVar[Mapping[str, str]] = REFUSED
    row_fields: ClassVar[frozenset[str]] = frozenset({"input", "messages", "prompt", "text"}) | SENT | REFUSED.keys()

    @property
    def name(self) -> str:
        return "responses"

    def parse(self, row: Mapping[str, Any], /) -> Given:
        """{"input"}: a text or a list of items; or rows of the task chat; and parameters of the API."""
        sent = SENT if isinstance(row.get("text"), dict) else SENT - {"text"}
        return Given(_input(row), conversation.checked_parameters(row, sent, REFUSED))

    def request(self, items: Sequence[Item], /) -> Request:
        item = one(items)
        data: Given = item.data
        body: dict[str, Any] = {"input": data.input, "max_output_tokens": self.max_tokens}
        stream = self.fill(body, data.parameters)
        body = conversation.with_extra(body)
        return Request((item,), self, "/v1/responses", encode(body), stream=stream, events=_EVENTS if stream else None)

    def _completion(self, answer: dict[str, Any], odd: Oddities) -> Completion:
        """The texts, thinking and function calls of the output."""
        return completion_of(answer, odd)

    def answer_stream(self, request: Request, events: Sequence[bytes], /) -> tuple[Completion]:
        """The response of the last event; a stream without one broke off and is not an answer."""
        odd = Oddities()
        said = Said(odd)
        for payload in events:
            event = odd.object(decode(_event, payload)) if payload and payload != DONE else None
            if event is None:
                continue
            if event.get("type") in ENDS:
                response = odd.object(event.get("response"))
                return one_answer(completion_of(response or {}, odd, said), odd.count)
            refuse_error(event if event.get("type") != "error" else {"error": event})
            add_event(said, event)
        raise BadResponse(f"the stream broke off after {len(events)} events, without response.completed")

    # Sessions.

    def script_of(self, data: Given, /) -> Script:
        return conversation.exchanges_of(_items(data), data.parameters, _role)

    def turn(self, script: Script, history: Sequence[Exchange], asked: tuple[Any, ...], /) -> Given:
        said = [item for exchange in history for part in exchange for item in part]
        return Given([*script.preamble, *said, *asked], script.parameters)

    def messages_of(self, answer: Completion, /) -> tuple[dict[str, Any], ...]:
        """The text alone: reasoning and calls need their items, which only the server has."""
        return ({"role": "assistant", "content": answer.text},)

    def made_up(self, data: Given, /) -> tuple[dict[str, Any], ...]:
        return ({"role": "assistant", "content": self.text_of(data) or ""},)

    def partial_answer(self, events: Sequence[bytes], /) -> Completion:
        """The deltas until then; the reason is empty, because the server did not finish."""
        odd = Oddities()
        said = Said(odd)
        for payload in events:
            if (event := odd.object(decode(_event, payload))) is not None:
                add_event(said, event)
        return said.completion(None, None)

    def text_of(self, data: Given, /) -> str | None:
        return data.input if isinstance(data.input, str) else None

    def with_text(self, data: Given, text: str, /) -> Given:
        return Given(text, data.parameters)

    def synthetic(self, words: Callable[[int], str], length: int, /) -> Given:
        return Given(words(max(1, length)), {})


def _items(data: Given) -> tuple[Any, ...]:
    return ({"role": "user", "content": data.input},) if isinstance(data.input, str) else tuple(data.input)


def _role(item: Any) -> Any:
    """The role of a message; other items, such as calls of functions, have none."""
    return item.get("role")


def _input(row: Mapping[str, Any]) -> str | list[Any]:
    given = row.get("input")
    if isinstance(given, list):
        if not 1 <= len(given) <= conversation.MESSAGES_MAX or not all(isinstance(item, dict) for item in given):
            raise ItemError(f"input: must be a text, or a list of 1 to {conversation.MESSAGES_MAX} items")
        return given
    if given is not None:
        return filled_text(row, "input")
    if "messages" in row:
        return [_item(message) for message in conversation.conversation({"messages": row["messages"]})]
    return filled_text(row, "prompt" if "prompt" in row else "text")


def _item(message: conversation.Message) -> dict[str, Any]:
    """A message of the chat API as an item."""
    if message.tool_calls or message.tool_call_id or message.function_call:
        raise ItemError("messages: calls of tools have another form in this API; give them as `input`")
    content = message.content
    if isinstance(content, list):
        content = [_part(part, message.role) for part in content]
    return {"role": message.role, "content": content}


def _part(part: Mapping[str, Any], role: str) -> dict[str, Any]:
    kind = part["type"]
    if kind == "text":
        return {"type": "output_text" if role == "assistant" else "input_text", "text": part["text"]}
    if kind == "image_url":
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image
        detail = {"detail": image["detail"]} if isinstance(image, dict) and "detail" in image else {}
        return {"type": "input_image", "image_url": checked_text(url, "image_url"), **detail}
    return dict(part)

"""POST /v1/completions (OpenAI's older API): a prompt -> its continuation, whole or as server-sent events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from harness.client.errors import BadResponse, ItemError
from harness.client.tasks import _conversation as conversation
from harness.client.tasks._choices import first_choice, one_answer
from harness.client.tasks._decode import decode, encode, events_in, filled_text, one
from harness.client.tasks._generating import check_settings, fill, joined
from harness.client.tasks._said import Completion, Oddities, Said, joined_completion
from harness.client.types import Item, Request, oddities_of

SENT = conversation.SENT - {
    *("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "reasoning_effort"),
    *("chat_template", "chat_template_kwargs", "add_generation_prompt", "continue_final_message"),
    "max_completion_tokens",
} | {"suffix"}
IDS_MAX = 1_000_000
_body = msgspec.json.Decoder(dict[str, Any])


class Prompt(msgspec.Struct, frozen=True):
    """A prompt, as a text or as token ids, and the parameters of its row."""

    prompt: str | list[int]
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Complete:
    """A prompt continued by a language model (OpenAI completions), whole or token by token.

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
    parameter_names: ClassVar[frozenset[str]] = SENT
    refused_parameters: ClassVar[Mapping[str, str]] = conversation.REFUSED
    row_fields: ClassVar[frozenset[str]] = frozenset({"prompt", "text"}) | SENT | conversation.REFUSED.keys()

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def name(self) -> str:
        return "complete"

    def parse(self, row: Mapping[str, Any], /) -> Prompt:
        """{"prompt"} or {"text"}, or a prompt of token ids; and parameters of the API."""
        prompt = row.get("prompt")
        given = _ids(prompt) if isinstance(prompt, list) else filled_text(row, "prompt" if "prompt" in row else "text")
        return Prompt(given, conversation.checked_parameters(row, SENT, conversation.REFUSED))

    def request(self, items: Sequence[Item], /) -> Request:
        item = one(items)
        data: Prompt = item.data
        body: dict[str, Any] = {"prompt": data.prompt, "max_tokens": self.max_tokens}
        stream = fill(body, self, data.parameters)
        if stream:
            body["stream_options"] = {"include_usage": True}
        return Request((item,), self, "/v1/completions", encode(conversation.with_extra(body)), stream=stream)

    def answer(self, request: Request, body: bytes, /) -> tuple[Completion]:
        """The first choice; an empty text is an answer if the server gives a finish reason."""
        if (events := events_in(body)) is not None:
            answers = self.answer_stream(request, events)
            return one_answer(answers[0], 1 + oddities_of(answers))
        answer, odd = decode(_body, body), Oddities()
        first = first_choice(answer)
        text = first.get("text") if isinstance(first, dict) else None
        if not isinstance(text, str):
            raise BadResponse(f"choices[0].text: is {'missing' if text is None else type(text).__name__}, not a text")
        said, reason = Said(odd), odd.reason(first.get("finish_reason"))
        said.add({"content": text}, "choices[0].text")
        return one_answer(said.completion(reason, odd.usage(answer.get("usage"))), odd.count)

    def answer_stream(self, request: Request, events: Sequence[bytes], /) -> tuple[Completion]:
        """The pieces joined; a stream without a finish reason or end mark broke off and is not an answer."""
        odd = Oddities()
        said, reason, usage, done, first = joined(events, odd, _add_text)
        if not (done and reason is not None):
            raise BadResponse(f"the stream broke off after {len(events)} events, without its end mark")
        return one_answer(said.completion(reason, usage), odd.count, first)

    def text_of(self, data: Prompt, /) -> str | None:
        return data.prompt if isinstance(data.prompt, str) else None

    def with_text(self, data: Prompt, text: str, /) -> Prompt:
        return Prompt(text, data.parameters)

    def joined(self, answers: Sequence[Completion], separator: str, /) -> Completion:
        return joined_completion(answers, separator)

    def synthetic(self, words: Callable[[int], str], length: int, /) -> Prompt:
        return Prompt(words(max(1, length)), {})


def _add_text(said: Said, choice: dict[str, Any], _odd: Oddities) -> None:
    if choice.get("text") is not None:
        said.add({"content": choice["text"]}, "choices[0].text")


def _ids(prompt: list[Any]) -> list[int]:
    """Token ids; raises ItemError."""
    if not 1 <= len(prompt) <= IDS_MAX or any(type(token) is not int or token < 0 for token in prompt):
        raise ItemError(f"prompt: must be a text, or a list of 1 to {IDS_MAX} token ids")
    return prompt

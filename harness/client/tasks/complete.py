"""POST /v1/completions (OpenAI's older API): a prompt -> its continuation, whole or as server-sent events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from harness.client.errors import BadResponse, ItemError
from harness.client.tasks import _conversation as conversation
from harness.client.tasks._choices import first_choice
from harness.client.tasks._decode import encode, filled_text, one
from harness.client.tasks._generating import Generating, answer_of_pieces
from harness.client.tasks._said import Completion, Oddities, Said
from harness.client.types import Item, Request

SENT = conversation.SENT - {
    *("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "reasoning_effort"),
    *("chat_template", "chat_template_kwargs", "add_generation_prompt", "continue_final_message"),
    "max_completion_tokens",
} | {"suffix"}
IDS_MAX = 1_000_000


class Prompt(msgspec.Struct, frozen=True):
    """A prompt, as a text or as token ids, and the parameters of its row."""

    prompt: str | list[int]
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Complete(Generating):
    """A prompt continued by a language model (OpenAI completions), whole or token by token.

    Args:
        max_tokens: Upper bound of generated tokens, for rows without their own. Default 64.
        stream: Whether the answer comes as server-sent events, so that time to first token is measured. Default
            False.
        model: Name of the model. Default None: the server's own choice.
        temperature: Sampling temperature, 0 to 2. Default None: the server's own choice.
    """

    parameter_names: ClassVar[frozenset[str]] = SENT
    refused_parameters: ClassVar[Mapping[str, str]] = conversation.REFUSED
    row_fields: ClassVar[frozenset[str]] = frozenset({"prompt", "text"}) | SENT | conversation.REFUSED.keys()

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
        stream = self.fill(body, data.parameters)
        if stream:
            body["stream_options"] = {"include_usage": True}
        return Request((item,), self, "/v1/completions", encode(conversation.with_extra(body)), stream=stream)

    def _completion(self, answer: dict[str, Any], odd: Oddities) -> Completion:
        """The first choice; an empty text is an answer if the server gives a finish reason."""
        first = first_choice(answer)
        text = first.get("text") if isinstance(first, dict) else None
        if not isinstance(text, str):
            raise BadResponse(f"choices[0].text: is {'missing' if text is None else type(text).__name__}, not a text")
        said, reason = Said(odd), odd.reason(first.get("finish_reason"))
        said.add({"content": text}, "choices[0].text")
        return said.completion(reason, odd.usage(answer.get("usage")))

    def answer_stream(self, request: Request, events: Sequence[bytes], /) -> tuple[Completion]:
        return answer_of_pieces(events, _add_text)

    def text_of(self, data: Prompt, /) -> str | None:
        return data.prompt if isinstance(data.prompt, str) else None

    def with_text(self, data: Prompt, text: str, /) -> Prompt:
        return Prompt(text, data.parameters)

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

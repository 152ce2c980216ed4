"""A row of a chat: messages in the form of OpenAI's API, and parameters; unsupported fields are refused by name.

Rules of this file
  1. A field that changes the answer or the load is sent unchanged, or the row is refused; none is dropped.
  2. Other columns of a row are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from itertools import pairwise, takewhile
from operator import attrgetter
from typing import Any

import msgspec

from harness.client.checks import TOKENS_MAX
from harness.client.conversation import Exchange, Script
from harness.client.errors import ItemError
from harness.client.tasks._decode import checked_text, filled_text

MESSAGES_MAX = 1_000

SENT = frozenset(
    {
        *("model", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "min_p", "typical_p"),
        *("stop", "stop_token_ids", "seed", "presence_penalty", "frequency_penalty", "repetition_penalty"),
        *("logit_bias", "ignore_eos", "min_tokens", "length_penalty", "bad_words", "skip_special_tokens"),
        *("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format"),
        *("guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs", "reasoning_effort"),
        *("chat_template", "chat_template_kwargs", "add_generation_prompt", "continue_final_message"),
        *("truncate_prompt_tokens", "service_tier", "stream", "extra_body"),
    }
)
"""Parameters of the API that a row may set; they take precedence over the task's settings."""

REFUSED = {
    "n": "one answer a row is kept",
    "best_of": "one answer a row is kept",
    "use_beam_search": "one answer a row is kept",
    "logprobs": "log-probabilities are not kept",
    "top_logprobs": "log-probabilities are not kept",
    "prompt_logprobs": "log-probabilities are not kept",
    "echo": "the answer is kept without its prompt",
    "audio": "only text is kept",
    "modalities": "only text is kept",
    "dimensions": "that is a parameter of embeddings",
}
"""Parameters that change the answer in an unsupported way. Their neutral values are allowed."""
_KINDS: Mapping[str, tuple[type, str]] = {
    "stream": (bool, "a boolean"),
    "model": (str, "a text"),
    "extra_body": (dict, "an object"),
    "response_format": (dict, "an object; --param response_format=@FILE reads one"),
    "tools": (list, "a list; --param tools=@FILE reads one"),
}
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {"n": (1,), "best_of": (1,), "modalities": (["text"],)}

_SET_BY_THE_TASK = dict.fromkeys(("messages", "prompt", "input", "stream", "stream_options"), "it is set by the task")
_MESSAGE = ("role", "content", "name", "tool_calls", "tool_call_id", "refusal", "function_call")
_THINKING = ("reasoning_content", "reasoning")


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message; fields other than role and content are present only if the row has them."""

    role: str
    content: str | list[dict[str, Any]] | None  # parts, or null beside calls of tools, as the API allows
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    function_call: dict[str, Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class Conversation(tuple[Message, ...]):
    """The messages of a row, and its parameters."""

    parameters: Mapping[str, Any]

    def __new__(cls, messages: Iterable[Message], parameters: Mapping[str, Any]) -> Conversation:
        made = super().__new__(cls, messages)
        made.parameters = parameters
        return made


def parameters_of(data: tuple[Message, ...]) -> Mapping[str, Any]:
    """The parameters of the row of these messages."""
    return data.parameters if isinstance(data, Conversation) else {}


def conversation(row: Mapping[str, Any]) -> tuple[Message, ...]:
    """{"messages": [...]}, or {"prompt"} or {"text"} as one message of the user; raises ItemError."""
    if "messages" in row:
        messages = _messages(row["messages"])
    else:
        messages = (Message("user", filled_text(row, "prompt" if "prompt" in row else "text")),)
    parameters = checked_parameters(row, SENT, REFUSED)
    return Conversation(messages, parameters) if parameters else messages


def exchanges_of(
    messages: tuple[Any, ...], parameters: Mapping[str, Any], role: Callable[[Any], Any] = attrgetter("role")
) -> Script:
    """A conversation cut before each message of the user; what stands before the first is the preamble."""
    starts = [place for place, message in enumerate(messages) if role(message) == "user"]
    starts = [place for place in starts if place == 0 or role(messages[place - 1]) != "user"]
    exchanges = []
    for begin, end in pairwise([*starts, len(messages)]):
        part = messages[begin:end]
        asked = tuple(takewhile(lambda message: role(message) == "user", part))
        exchanges.append(Exchange(asked, part[len(asked) :]))
    return Script(messages[: starts[0]] if starts else messages, tuple(exchanges), parameters)


def checked_parameters(row: Mapping[str, Any], sent: AbstractSet[str], refused: Mapping[str, str]) -> dict[str, Any]:
    """The parameters of a row; raises ItemError for one that is refused, or of another type."""
    _refuse(row, refused, "")
    found = {field: row[field] for field in row if field in sent and row[field] is not None}
    for field in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
        if field in found:
            tokens(found[field], field)
    temperature = found.get("temperature", 0)
    if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0 <= temperature <= 2:
        raise ItemError("temperature: must be a number between 0 and 2")
    for field, (kind, name) in _KINDS.items():
        if field in found and not isinstance(found[field], kind):
            raise ItemError(f"{field}: is {type(found[field]).__name__}, not {name}")
    if "extra_body" in found:
        _refuse(found["extra_body"], refused, "extra_body.")
        _refuse(found["extra_body"], _SET_BY_THE_TASK, "extra_body.")
    return found


def _refuse(row: Mapping[str, Any], refused: Mapping[str, str], where: str) -> None:
    for field, why in refused.items():
        value = row.get(field)
        if value and value not in _NEUTRAL.get(field, ()):
            raise ItemError(f"{where}{field}: {why}, so this row is not sent with it")


def with_extra(body: dict[str, Any]) -> dict[str, Any]:
    """The body with the fields of its `extra_body`, as OpenAI's client merges them."""
    extra = body.pop("extra_body", None)
    return body if extra is None else body | extra


def tokens(value: Any, field: str) -> int:
    """A number of tokens to generate; raises ItemError."""
    if type(value) is not int or not 1 <= value <= TOKENS_MAX:
        raise ItemError(f"{field}: must be a whole number between 1 and {TOKENS_MAX}")
    return value


def _messages(rows: Any) -> tuple[Message, ...]:
    """A list of messages; raises ItemError that names the field."""
    if not isinstance(rows, list | tuple) or not 1 <= len(rows) <= MESSAGES_MAX:
        raise ItemError(f"messages: must be a list of 1 to {MESSAGES_MAX} messages")
    return tuple(_message(row, f"messages[{number}]") for number, row in enumerate(rows))


def _message(row: Any, where: str) -> Message:
    if not isinstance(row, Mapping):
        raise ItemError(f"{where}: is {type(row).__name__}, not an object")
    fields = {field: value for field, value in row.items() if value is not None}
    for field in fields:
        if field not in _MESSAGE and field not in _THINKING:
            raise ItemError(f"{where}.{field}: is not sent; a message has {', '.join(_MESSAGE + _THINKING)}")
    texts = fields.keys() & {"name", "tool_call_id", "refusal", *_THINKING}
    given: dict[str, Any] = {field: checked_text(fields[field], f"{where}.{field}") for field in texts}
    if "tool_calls" in fields:
        given["tool_calls"] = _objects(fields["tool_calls"], f"{where}.tool_calls")
    if "function_call" in fields:
        given["function_call"] = _objects([fields["function_call"]], f"{where}.function_call")[0]
    role = checked_text(row.get("role"), f"{where}.role")
    return Message(role, _content(row, where, bool(given.keys() & {"tool_calls", "function_call", "refusal"})), **given)


def _content(row: Mapping[str, Any], where: str, may_be_null: bool) -> Any:
    content = row.get("content")
    if content is None and may_be_null:
        return None
    if isinstance(content, list | tuple):
        parts = _objects(content, f"{where}.content")
        for number, part in enumerate(parts):
            if not isinstance(part.get("type"), str):
                raise ItemError(f"{where}.content[{number}].type: is missing")
            if part["type"] == "text":
                checked_text(part.get("text"), f"{where}.content[{number}].text")
        return parts
    return checked_text(content, f"{where}.content")


def _objects(value: Any, where: str) -> list[dict[str, Any]]:
    """A list of objects that JSON can carry."""
    if not isinstance(value, list | tuple) or not value or not all(isinstance(entry, dict) for entry in value):
        raise ItemError(f"{where}: must be a list of objects")
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ItemError(f"{where}: {error}") from error
    return list(value)

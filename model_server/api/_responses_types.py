"""Bodies and events of the Responses API."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, UnsetType

from model_server.api._asked import Asked, Neutral, NoEffect, PositiveInt, Unsupported
from model_server.api._texts import SOME, Filled

Role = Literal["system", "developer", "user", "assistant"]


class InputText(msgspec.Struct):
    """One part of a message; only text is supported."""

    text: str
    type: Literal["input_text", "output_text"] = "input_text"


class InputMessage(msgspec.Struct):
    """One message of the input."""

    role: Role
    content: str | list[InputText]
    type: Literal["message"] = "message"


class TextOptions(msgspec.Struct, forbid_unknown_fields=True):
    """The form of the output: text, json_object, or json_schema."""

    format: dict[str, Any] | None = None
    verbosity: NoEffect = None


class ResponsesBody(Asked, kw_only=True):
    """A text or messages to answer. Tools and earlier responses are not supported."""

    neutral: ClassVar[Neutral] = Asked.neutral | {
        "echo": (False,),
        "tools": ([],),
        "tool_choice": ("none", "auto"),
        "reasoning": ({},),
        "include": ([],),
        "background": (False,),
        "truncation": ("disabled",),
        "top_logprobs": (0,),
        "previous_response_id": (),
        "conversation": (),
        "prompt": (),
    }
    input: Filled | Annotated[list[InputMessage], SOME]
    model: str | None = None
    instructions: str | None = None
    max_output_tokens: PositiveInt | None = None
    echo: Unsupported = None
    tools: Unsupported = None
    tool_choice: Unsupported = None
    text: TextOptions | None = None
    reasoning: Unsupported = None
    include: Unsupported = None
    background: Unsupported = None
    truncation: Unsupported = None
    top_logprobs: Unsupported = None
    previous_response_id: Unsupported = None
    conversation: Unsupported = None
    prompt: Unsupported = None
    parallel_tool_calls: NoEffect = None
    max_tool_calls: NoEffect = None
    stream_options: NoEffect = None


class OutputText(msgspec.Struct):
    """The text of a message."""

    text: str
    type: Literal["output_text"] = "output_text"
    annotations: list[Any] = []
    logprobs: list[Any] = []


class OutputMessage(msgspec.Struct):
    """The answer of the model."""

    id: str
    status: Literal["in_progress", "completed", "incomplete"]
    content: list[OutputText]
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"


class InputDetails(msgspec.Struct, frozen=True):
    """Input tokens of each kind."""

    cached_tokens: int = 0


class OutputDetails(msgspec.Struct, frozen=True):
    """Output tokens of each kind."""

    reasoning_tokens: int = 0


class ResponsesUsage(msgspec.Struct):
    """Token counts."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: InputDetails = InputDetails()
    output_tokens_details: OutputDetails = OutputDetails()


class IncompleteDetails(msgspec.Struct):
    """Why a response is incomplete."""

    reason: Literal["max_output_tokens"] = "max_output_tokens"


class ModelResponse(msgspec.Struct, kw_only=True):
    """A response, in progress or done."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Literal["in_progress", "completed", "incomplete"]
    error: None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    model: str
    output: list[OutputMessage]
    parallel_tool_calls: bool = True
    tool_choice: Literal["auto"] = "auto"
    tools: list[Any] = []
    usage: ResponsesUsage | None = None
    metadata: dict[str, str] = {}


class ResponsesEvent(msgspec.Struct, kw_only=True):
    """One event; its fields depend on its type, which is also the name of the server-sent event."""

    type: Literal[
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
        "response.incomplete",
    ]
    sequence_number: int
    response: ModelResponse | UnsetType = UNSET
    output_index: int | UnsetType = UNSET
    item: OutputMessage | UnsetType = UNSET
    item_id: str | UnsetType = UNSET
    content_index: int | UnsetType = UNSET
    part: OutputText | UnsetType = UNSET
    delta: str | UnsetType = UNSET
    text: str | UnsetType = UNSET
    logprobs: list[Any] | UnsetType = UNSET

"""Bodies of the OpenAI routes, with the fields that matter for a load test.

A field that would change the answer and is not supported is refused by name, see `_asked`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, UnsetType

from model_server.api._asked import Asked, Neutral, NoEffect, PositiveInt, Unsupported
from model_server.api._texts import SOME, Filled

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]
FinishReason = Literal["stop", "length", "tool_calls"]
TokenId = Annotated[int, msgspec.Meta(ge=0, le=1 << 31)]
Ids = Annotated[list[TokenId], SOME]
Texts = Filled | Annotated[list[Filled | TokenId | Ids], SOME]
"""A text, a list of texts, the token ids of one text, or those of several."""


class ImageUrl(msgspec.Struct):
    """An image: a data URL, or an address, which is not fetched."""

    url: str
    detail: Literal["auto", "low", "high"] | None = None


class ContentPart(msgspec.Struct):
    """One part of a message: `text`, or `image_url` if the model reads images, which the mock's does."""

    type: Literal["text", "image_url"] = "text"
    text: str | None = None
    image_url: ImageUrl | str | None = None


class ChatMessage(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One message. The model's chat template decides on the use of all fields but role and content."""

    role: Role
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    function_call: dict[str, Any] | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class StreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    """`include_usage`: one more chunk with the token counts; `continuous_usage_stats`: counts so far in every chunk."""

    include_usage: bool = False
    continuous_usage_stats: bool = False
    include_obfuscation: NoEffect = None


ResponseFormat = Annotated[
    dict[str, Any],
    msgspec.Meta(
        extra_json_schema={"description": "text, json_object, or json_schema with a JSON Schema; see `_structured`"}
    ),
]


class ChatBody(Asked, kw_only=True):
    """The messages of a chat; the answer is one message. Only `n` = 1 is supported."""

    neutral: ClassVar[Neutral] = Asked.neutral | {
        "echo": (False,),
        "tools": ([],),
        "tool_choice": ("none", "auto"),
        "functions": ([],),
        "function_call": ("none", "auto"),
        "modalities": (["text"],),
        "logprobs": (False,),
        "top_logprobs": (0,),
        "chat_template_kwargs": ({},),
        "reasoning_effort": ("none",),
        "add_generation_prompt": (True,),
        "continue_final_message": (False,),
    }
    messages: Annotated[list[ChatMessage], SOME]
    model: str | None = None
    max_completion_tokens: PositiveInt | None = None
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = 1
    echo: Unsupported = None
    tools: Unsupported = None
    tool_choice: Unsupported = None
    functions: Unsupported = None
    function_call: Unsupported = None
    response_format: ResponseFormat | None = None
    modalities: Unsupported = None
    logprobs: Unsupported = None
    top_logprobs: Unsupported = None
    chat_template_kwargs: Unsupported = None
    reasoning_effort: Unsupported = None
    add_generation_prompt: Unsupported = None
    continue_final_message: Unsupported = None
    parallel_tool_calls: NoEffect = None


class CompletionBody(Asked, kw_only=True):
    """One or more prompts, as text or token ids, with one choice each. Only `n` = 1 is supported."""

    neutral: ClassVar[Neutral] = Asked.neutral | {"logprobs": (), "suffix": ("",)}
    prompt: Texts
    model: str | None = None
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = 1
    logprobs: Unsupported = None
    suffix: Unsupported = None


class EmbeddingsBody(msgspec.Struct, forbid_unknown_fields=True):
    """One or more texts or their token ids; vectors as floats or base64 of little-endian float32."""

    input: Texts
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: PositiveInt | None = None
    user: NoEffect = None


class CompletionDetails(msgspec.Struct):
    """Of the completion's tokens, those of the thinking."""

    reasoning_tokens: int


class PromptDetails(msgspec.Struct):
    """Of the prompt's tokens, those that were kept from earlier prompts."""

    cached_tokens: int


class Usage(msgspec.Struct):
    """Token counts of a generation; `prompt_tokens_details` from servers that keep prefixes."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails | UnsetType = UNSET
    completion_tokens_details: CompletionDetails | UnsetType = UNSET


class FunctionCall(msgspec.Struct):
    """A function and its arguments as JSON, or a piece of them."""

    arguments: str
    name: str | UnsetType = UNSET


class ToolCall(msgspec.Struct):
    """A call of a tool, or a piece of one."""

    function: FunctionCall
    index: int | UnsetType = UNSET
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET


class AssistantMessage(msgspec.Struct):
    """The answer of the model; the mock also thinks and calls tools."""

    role: Literal["assistant"]
    content: str | None
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ToolCall] | UnsetType = UNSET


class ChatChoice(msgspec.Struct):
    """One answer."""

    index: int
    message: AssistantMessage
    logprobs: None
    finish_reason: FinishReason


class Chat(msgspec.Struct):
    """A whole chat completion."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class Delta(msgspec.Struct):
    """The text, thinking or piece of a call that a chunk adds."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ToolCall] | UnsetType = UNSET


class ChatChunkChoice(msgspec.Struct):
    """A piece of one answer."""

    index: int
    delta: Delta
    logprobs: None
    finish_reason: FinishReason | None


class ChatChunk(msgspec.Struct):
    """One event of a streamed chat completion; the event with the usage has no choices."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChatChunkChoice]
    usage: Usage | UnsetType | None = UNSET


class TextChoice(msgspec.Struct):
    """The answer to one prompt, or a piece of it."""

    index: int
    text: str
    logprobs: None
    finish_reason: FinishReason | None


class Completion(msgspec.Struct):
    """A whole text completion, or one event of a streamed one."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage | UnsetType | None = UNSET


class Embedding(msgspec.Struct):
    """The vector of one text; base64 text if requested."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(msgspec.Struct):
    """Token counts of the texts."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(msgspec.Struct):
    """Vectors in the order of the texts."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


class Model(msgspec.Struct):
    """A model that is served."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(msgspec.Struct):
    """All models that are served."""

    object: Literal["list"]
    data: list[Model]

"""The bodies of the OpenAI routes: the part of them that changes what a load test sees.

Fields that would change the answer and are not supported are refused by name (`*_NEUTRAL` holds the values that ask
for nothing). Fields that this API does not know are ignored, as every server of it does.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]
FinishReason = Literal["stop", "length"]
PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
Temperature = Annotated[float, msgspec.Meta(ge=0, le=2)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class ContentPart(msgspec.Struct):
    """One part of a message; only text is understood."""

    text: str
    type: Literal["text"] = "text"


class ChatMessage(msgspec.Struct):
    """Who said what."""

    role: Role
    content: str | list[ContentPart] | None = None


class StreamOptions(msgspec.Struct):
    """`include_usage` asks for one more chunk with the token counts."""

    include_usage: bool = False


Unsupported = Annotated[Any, msgspec.Meta(extra_json_schema={"type": "null", "description": "not supported"})]
STOPS_MAX, STOP_MAX = 4, 64

Stops = str | Annotated[list[Annotated[str, msgspec.Meta(max_length=STOP_MAX)]], msgspec.Meta(max_length=STOPS_MAX)]
"""Texts at which a generation ends; they are no part of the answer."""

CHAT_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "response_format": ({"type": "text"},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
}
COMPLETION_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "logprobs": (),
    "best_of": (1,),
    "suffix": ("",),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
}


class ChatBody(msgspec.Struct):
    """Messages in, one message out; `n` other than 1 is not supported.

    Decoding is greedy: `temperature`, `top_p` and `seed` are accepted, and the most likely token is taken.
    """

    messages: list[ChatMessage]
    model: str | None = None
    max_tokens: PositiveInt | None = None
    max_completion_tokens: PositiveInt | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = 1
    stop: Stops | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    seed: int | None = None
    tools: Unsupported = None
    tool_choice: Unsupported = None
    functions: Unsupported = None
    response_format: Unsupported = None
    logprobs: Unsupported = None
    top_logprobs: Unsupported = None
    logit_bias: Unsupported = None
    presence_penalty: Unsupported = None
    frequency_penalty: Unsupported = None


class CompletionBody(msgspec.Struct):
    """A prompt or several, each with a choice of its own; token ids and `n` other than 1 are not supported."""

    prompt: str | list[str]
    model: str | None = None
    max_tokens: PositiveInt | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = 1
    stop: Stops | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    seed: int | None = None
    echo: bool | None = False
    logprobs: Unsupported = None
    best_of: Unsupported = None
    suffix: Unsupported = None
    logit_bias: Unsupported = None
    presence_penalty: Unsupported = None
    frequency_penalty: Unsupported = None


class EmbeddingsBody(msgspec.Struct):
    """One text or several; vectors as floats or base64 of little-endian float32."""

    input: str | list[str]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: PositiveInt | None = None


class Usage(msgspec.Struct):
    """Token counts of a generation."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AssistantMessage(msgspec.Struct):
    """The answer of the model."""

    role: Literal["assistant"]
    content: str


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
    """What a chunk adds."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType = UNSET


class ChatChunkChoice(msgspec.Struct):
    """A piece of one answer."""

    index: int
    delta: Delta
    logprobs: None
    finish_reason: FinishReason | None


class ChatChunk(msgspec.Struct):
    """One event of a streamed chat completion; the one with the usage has no choices."""

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
    """The vector of one text; base64 text if asked for."""

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

"""The OpenAI routes: chat and text completions (plain and streamed), embeddings, models."""

from __future__ import annotations

import base64
import time
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from model_server.api import _checks as check
from model_server.api._generation import DONE, begin, collect, pieces_of
from model_server.errors import invalid
from model_server.exchange import Exchange
from model_server.reply import Reply, StreamReply
from model_server.routes import Route
from model_server.work import Sequence, Work

if TYPE_CHECKING:
    from model_server.app import App

_encode = msgspec.json.Encoder().encode


class ContentPart(msgspec.Struct):
    """One part of a message; only text is understood."""

    text: str
    type: Literal["text"] = "text"


class ChatMessage(msgspec.Struct):
    """Who said what."""

    role: str
    content: str | list[ContentPart] | None = None


class StreamOptions(msgspec.Struct):
    """`include_usage` asks for one more chunk with the token counts."""

    include_usage: bool = False


class ChatBody(msgspec.Struct):
    """The part of OpenAI's request that changes what a load test sees; other fields are accepted and ignored."""

    messages: list[ChatMessage]
    model: str | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int | None = 1


class CompletionBody(msgspec.Struct):
    """As `ChatBody`, with one prompt."""

    prompt: str | list[str]
    model: str | None = None
    max_tokens: int | None = 16
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int | None = 1


class EmbeddingsBody(msgspec.Struct):
    """One text or several; vectors as floats or base64 of little-endian float32."""

    input: str | list[str]
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


async def chat(app: App, exchange: Exchange, body: ChatBody) -> Reply:
    check.served(app, "generate")
    check.count(app, len(body.messages), "messages")
    prompt = "\n".join(f"{message.role}: {_content(message)}" for message in body.messages)
    check.text(app, prompt, "messages")
    return await _complete(app, exchange, body, prompt, _ChatShape())


async def completions(app: App, exchange: Exchange, body: CompletionBody) -> Reply:
    check.served(app, "generate")
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    if len(prompts) != 1:
        raise invalid("prompt: exactly one prompt a request is supported", "prompt")
    prompt = check.text(app, prompts[0], "prompt")
    return await _complete(app, exchange, body, prompt, _TextShape())


class _ChatShape:
    """How chat names and nests its pieces."""

    tokens_default = 128
    whole, chunk, prefix = "chat.completion", "chat.completion.chunk", "chatcmpl"

    def choice(self, text: str, reason: str | None) -> dict[str, Any]:
        message = {"role": "assistant", "content": text}
        return {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}

    def delta(self, text: str | None, reason: str | None) -> dict[str, Any]:
        delta = {} if text is None else {"role": "assistant", "content": text}
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}


class _TextShape:
    """How text completions do."""

    tokens_default = 16
    whole, chunk, prefix = "text_completion", "text_completion", "cmpl"

    def choice(self, text: str, reason: str | None) -> dict[str, Any]:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}

    def delta(self, text: str | None, reason: str | None) -> dict[str, Any]:
        return self.choice(text or "", reason)


async def _complete(
    app: App,
    exchange: Exchange,
    body: ChatBody | CompletionBody,
    prompt: str,
    shape: _ChatShape | _TextShape,
) -> Reply:
    if body.n not in (None, 1):
        raise invalid(f"n: {body.n} is not supported, only 1", "n")
    asked = body.max_tokens
    if isinstance(body, ChatBody) and body.max_completion_tokens is not None:
        asked = body.max_completion_tokens
    tokens_max = shape.tokens_default if asked is None else asked
    sequence = begin(app, exchange, prompt, check.tokens(app, tokens_max, "max_tokens"))
    head = {
        "id": f"{shape.prefix}-{exchange.headers.get(b'x-request-id', b'%x' % id(sequence)).decode('latin-1')}",
        "created": int(time.time()),
        "model": body.model or app.engine.info.model,
    }
    if body.stream:
        usage = body.stream_options is not None and body.stream_options.include_usage
        event, tail = _stream_shape(head, shape, usage)
        return StreamReply(pieces_of(app, exchange, sequence, event, tail))
    text = await collect(app, exchange, sequence)
    choice = shape.choice(text, sequence.finish_reason)
    return Reply(_encode({**head, "object": shape.whole, "choices": [choice], "usage": _usage(sequence)}))


def _stream_shape(
    head: dict[str, Any], shape: _ChatShape | _TextShape, usage: bool
) -> tuple[Callable[[str], bytes], Callable[[Sequence], bytes]]:
    head = {**head, "object": shape.chunk}
    extra: dict[str, Any] = {"usage": None} if usage else {}

    def event(piece: str) -> bytes:
        return b"data: " + _encode({**head, "choices": [shape.delta(piece, None)], **extra}) + b"\n\n"

    def tail(sequence: Sequence) -> bytes:
        last = _encode({**head, "choices": [shape.delta(None, sequence.finish_reason)], **extra})
        counts = _encode({**head, "choices": [], "usage": _usage(sequence)})
        return b"data: " + last + b"\n\n" + (b"data: " + counts + b"\n\n" if usage else b"") + DONE

    return event, tail


def _content(message: ChatMessage) -> str:
    if isinstance(message.content, list):
        return "".join(part.text for part in message.content)
    return message.content or ""


def _usage(sequence: Sequence) -> dict[str, int]:
    return {
        "prompt_tokens": sequence.prompt_tokens,
        "completion_tokens": sequence.tokens,
        "total_tokens": sequence.prompt_tokens + sequence.tokens,
    }


async def embeddings(app: App, exchange: Exchange, body: EmbeddingsBody) -> Reply:
    check.served(app, "embed")
    texts = check.texts(app, [body.input] if isinstance(body.input, str) else body.input, "input")
    if body.dimensions is not None and body.dimensions < 1:
        raise invalid(f"dimensions: {body.dimensions} must be >= 1", "dimensions")
    works = await app.run(exchange, [Work("embed", (text,)) for text in texts])
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(work.output[: body.dimensions], body)}
        for index, work in enumerate(works)
    ]
    tokens = sum(work.tokens for work in works)
    answer = {
        "object": "list",
        "data": data,
        "model": body.model or app.engine.info.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return Reply(_encode(answer))


def _vector(values: list[float], body: EmbeddingsBody) -> list[float] | str:
    if body.encoding_format == "float":
        return values
    return base64.b64encode(array("f", values).tobytes()).decode("ascii")


async def models(app: App, exchange: Exchange, body: None) -> Reply:
    model = {"id": app.engine.info.model, "object": "model", "created": 0, "owned_by": "paceline"}
    return Reply(_encode({"object": "list", "data": [model]}))


ROUTES = [
    Route("POST", "/v1/chat/completions", chat, "Chat completion", "openai", ChatBody, dict[str, Any], streams=True),
    Route(
        "POST",
        "/v1/completions",
        completions,
        "Text completion",
        "openai",
        CompletionBody,
        dict[str, Any],
        streams=True,
    ),
    Route("POST", "/v1/embeddings", embeddings, "Embeddings", "openai", EmbeddingsBody, dict[str, Any]),
    Route("GET", "/v1/models", models, "The model that is served", "openai", answer=dict[str, Any], work=False),
]

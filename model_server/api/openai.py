"""The OpenAI routes: chat and text completions (plain and streamed), embeddings, models."""

from __future__ import annotations

import base64
import time
from array import array
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

from model_server.api import _checks as check
from model_server.api import _openai_types as types
from model_server.api import _token_ids as token_ids
from model_server.api._generation import DONE, Prompts, begin, collect, events_of, failed_event
from model_server.api._images import part_text
from model_server.api._spoken import FIELDS, Spoken, Wanted, wanted
from model_server.api._structured import form_of, script_of
from model_server.errors import ApiError
from model_server.http.exchange import Exchange
from model_server.http.reply import Reply, StreamReply
from model_server.http.routes import Route
from model_server.sampling import Script
from model_server.work import Sequence, Work

if TYPE_CHECKING:
    from model_server.http.app import App

_encode = msgspec.json.Encoder().encode
_FORM = frozenset({"response_format"})


async def chat(app: App, exchange: Exchange, body: types.ChatBody) -> Reply:
    check.served(app, "generate")
    check.unsupported(body, FIELDS | _FORM if app.engine.info.tools else _FORM)
    check.count(app, len(body.messages), "messages")
    messages = [said(app, message, number) for number, message in enumerate(body.messages)]
    whole = "".join([content + _fields(more) if more else content for _, content, more in messages])
    check.text(app, whole, "messages")
    prompt = app.engine.prompt(messages)
    asked = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    more = wanted(app, body)
    form = form_of(app, body.response_format, "response_format", inner="json_schema")
    if more is not None and more.function is not None:
        form = more.form
    script = None
    if form is not None:
        lead = 0 if more is None else more.lead(asked, ChatShape.tokens_default)
        script = await script_of(app, form, prompt, body.sampling(), asked, lead)
    return await _complete(app, exchange, body, [prompt], asked, ChatShape, more, script)


async def completions(app: App, exchange: Exchange, body: types.CompletionBody) -> Reply:
    check.served(app, "generate")
    check.unsupported(body)
    prompts = token_ids.inputs(app, "generate", body.prompt, "prompt")
    return await _complete(app, exchange, body, prompts, body.max_tokens, TextShape)


class ChatShape:
    """Answer format of chat completions, whole and streamed."""

    tokens_default = 128
    whole, chunk, prefix = "chat.completion", "chat.completion.chunk", "chatcmpl"

    def __init__(
        self,
        head: dict[str, Any],
        options: types.StreamOptions | None,
        sequences: list[Sequence],
        asked: Wanted | None = None,
    ) -> None:
        # Of the only sequence, in a chat that asks for more than text.
        self.spoken = None if asked is None else Spoken(asked, sequences[0])
        self.head = {**head, "object": self.chunk}
        self.usage = options is not None and options.include_usage
        self.extra: dict[str, Any] = {"usage": None} if self.usage else {}
        self.counted = sequences if options is not None and options.continuous_usage_stats and self.usage else None

    def choice(self, index: int, text: str, reason: str | None) -> dict[str, Any]:
        """The whole answer."""
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if self.spoken is not None:
            message, reason = self.spoken.message(text), self.spoken.reason(reason)
        return {"index": index, "message": message, "logprobs": None, "finish_reason": reason}

    def delta(self, index: int, text: str | None, reason: str | None) -> dict[str, Any]:
        """A part of it."""
        delta: dict[str, Any] = {} if text is None else {"role": "assistant", "content": text}
        if self.spoken is not None:
            delta = self.spoken.end() if text is None else self.spoken.delta(text)
            reason = reason and self.spoken.reason(reason)
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}

    def piece(self, index: int, text: str) -> bytes:
        return self._event([self.delta(index, text, None)], self._so_far(index))

    def end(self, index: int, sequence: Sequence) -> bytes:
        return self._event([self.delta(index, None, sequence.finish_reason)], self._so_far(index))

    def _so_far(self, index: int) -> dict[str, Any]:
        return self.extra if self.counted is None else {"usage": self.usage_of([self.counted[index]])}

    def usage_of(self, sequences: list[Sequence]) -> dict[str, Any]:
        """The token counts."""
        return _usage(sequences) | (self.spoken.counts() if self.spoken is not None else {})

    def close(self, sequences: list[Sequence]) -> bytes:
        return self._event([], {"usage": self.usage_of(sequences)}) + DONE if self.usage else DONE

    def failed(self, error: ApiError) -> bytes:
        return failed_event(error)

    def _event(self, choices: list[Any], extra: dict[str, Any]) -> bytes:
        return b"data: " + _encode({**self.head, "choices": choices, **extra}) + b"\n\n"


class TextShape(ChatShape):
    """Answer format of text completions, whole and streamed."""

    tokens_default = 16
    whole, chunk, prefix = "text_completion", "text_completion", "cmpl"

    def choice(self, index: int, text: str, reason: str | None) -> dict[str, Any]:
        """The whole answer."""
        return {"index": index, "text": text, "logprobs": None, "finish_reason": reason}

    def delta(self, index: int, text: str | None, reason: str | None) -> dict[str, Any]:
        """A part of it."""
        return self.choice(index, text or "", reason)


async def _complete(
    app: App,
    exchange: Exchange,
    body: types.ChatBody | types.CompletionBody,
    prompts: Prompts,
    asked: int | None,
    shape: type[ChatShape],
    more: Wanted | None = None,
    script: Script | None = None,
) -> Reply:
    sequences = await begin(app, exchange, prompts, body, asked, shape.tokens_default, script)
    head = {
        "id": f"{shape.prefix}-{uuid4().hex}",
        "created": int(time.time()),
        "model": body.model or app.engine.info.model,
    }
    shaped = shape(head, body.stream_options, sequences, more)
    if body.stream:
        return StreamReply(events_of(app, exchange, sequences, shaped))
    texts = await collect(app, exchange, sequences)
    choices = [
        shaped.choice(index, text, sequence.finish_reason)
        for index, (text, sequence) in enumerate(zip(texts, sequences, strict=True))
    ]
    return Reply(_encode({**head, "object": shape.whole, "choices": choices, "usage": shaped.usage_of(sequences)}))


def _content(app: App, message: types.ChatMessage, number: int) -> str:
    if isinstance(message.content, list):
        field = f"messages[{number}].content"
        return "".join([part_text(app, part, f"{field}[{place}]") for place, part in enumerate(message.content)])
    return message.content or ""


def said(app: App, message: types.ChatMessage, number: int) -> tuple[str, str, dict[str, Any]]:
    """Role, content and the other fields of a message, which is the request's message of this number."""
    values, content = _more(message), _content(app, message, number)
    if values.count(None) == len(values):
        return message.role, content, {}
    more = {name: value for name, value in zip(_MORE, values, strict=True) if value is not None}
    return message.role, content, more


_MORE = tuple(name for name in types.ChatMessage.__struct_fields__ if name not in ("role", "content"))
_more = attrgetter(*_MORE)


def _fields(more: dict[str, Any]) -> str:
    return _encode(more).decode()


def _usage(sequences: list[Sequence]) -> dict[str, Any]:
    prompt = sum(sequence.prompt_tokens for sequence in sequences)
    completion = sum(sequence.tokens for sequence in sequences)
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if cached := [sequence.cached_tokens for sequence in sequences if sequence.cached_tokens is not None]:
        usage["prompt_tokens_details"] = {"cached_tokens": sum(cached)}
    return usage


async def embeddings(app: App, exchange: Exchange, body: types.EmbeddingsBody) -> Reply:
    check.served(app, "embed")
    texts = token_ids.inputs(app, "embed", body.input, "input")
    works = await app.run(exchange, [Work("embed", (text,)) for text in texts])
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": _vector(check.shortened(work.output, body.dimensions), body),
        }
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


def _vector(values: list[float], body: types.EmbeddingsBody) -> list[float] | str:
    if body.encoding_format != "base64":
        return values
    return base64.b64encode(array("f", values).tobytes()).decode("ascii")


async def models(app: App, exchange: Exchange, body: None) -> Reply:
    return Reply(_encode({"object": "list", "data": [_model(app)]}))


async def model(app: App, exchange: Exchange, body: None) -> Reply:
    name = exchange.params["model"]
    if name != app.engine.info.model:
        message = f"the model {name[:80]!r} does not exist here; this server has {app.engine.info.model!r}"
        raise ApiError(404, message, code="model_not_found", param="model")
    return Reply(_encode(_model(app)))


def _model(app: App) -> dict[str, Any]:
    return {"id": app.engine.info.model, "object": "model", "created": 0, "owned_by": "paceline"}


ROUTES = [
    Route(
        "POST",
        "/v1/chat/completions",
        chat,
        "Chat completion",
        "openai",
        types.ChatBody,
        types.Chat,
        streams=True,
        event=types.ChatChunk,
    ),
    Route(
        "POST",
        "/v1/completions",
        completions,
        "Text completion of one or more prompts",
        "openai",
        types.CompletionBody,
        types.Completion,
        streams=True,
        event=types.Completion,
    ),
    Route("POST", "/v1/embeddings", embeddings, "Embeddings", "openai", types.EmbeddingsBody, types.Embeddings),
    Route("GET", "/v1/models", models, "The served model", "openai", answer=types.Models, work=False),
    Route("GET", "/v1/models/{model}", model, "One model", "openai", answer=types.Model, work=False, statuses=(404,)),
]

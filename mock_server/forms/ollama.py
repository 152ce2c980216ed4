"""The routes of Ollama: /api/generate, /api/chat, /api/embed, /api/tags, /api/version (docs.ollama.com/api).

Any name of a model is answered. Streams are JSON lines, and the last line has the token counts and times.
"""

from __future__ import annotations

from collections.abc import Sequence as Several
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from model_server.api import _checks as check
from model_server.api._asked import Asked, NoEffect, Seed, Share, Stop, Temperature, Unsupported
from model_server.api._generation import begin, collect, events_of
from model_server.api._structured import Form, script_of
from model_server.api._texts import SOME, Filled, FilledTexts
from model_server.errors import ApiError, invalid
from model_server.http.exchange import Exchange
from model_server.http.reply import Reply, StreamReply
from model_server.http.routes import Route
from model_server.structured import ANY_OBJECT
from model_server.work import Sequence, Work

if TYPE_CHECKING:
    from model_server.http.app import App

LINES = b"application/x-ndjson"
TOKENS_DEFAULT = 128
_encode = msgspec.json.Encoder().encode


class OllamaOptions(msgspec.Struct):
    """How a text is generated; all other options have no effect."""

    num_predict: Annotated[int, msgspec.Meta(ge=-2)] | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    seed: Seed | None = None
    stop: Stop | Annotated[list[Stop], msgspec.Meta(max_length=4)] | None = None

    @property
    def tokens(self) -> int | None:
        """The most tokens; None if the server decides, which Ollama writes as -1 or -2."""
        return self.num_predict if self.num_predict is not None and self.num_predict > 0 else None

    def asked(self) -> Asked:
        """The same in the server's own form."""
        return Asked(stop=self.stop, temperature=self.temperature, top_p=self.top_p, seed=self.seed)


class Common(msgspec.Struct, kw_only=True):
    """Fields of both generating routes. Fields that would change the answer are refused by name."""

    model: Filled
    stream: bool = True
    options: OllamaOptions | None = None
    keep_alive: NoEffect = None
    format: Literal["", "json"] | dict[str, Any] | None = None
    think: Unsupported = None


class OllamaGenerateBody(Common, kw_only=True):
    """A prompt; the answer is a stream unless `stream` is false."""

    prompt: Filled
    system: str | None = None
    raw: NoEffect = None
    template: NoEffect = None
    images: Unsupported = None
    suffix: Unsupported = None


class OllamaMessage(msgspec.Struct):
    """A message of a chat."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    images: Unsupported = None


class OllamaSaid(msgspec.Struct):
    """The message of an answer, or a piece of it."""

    role: str
    content: str


class OllamaChatBody(Common, kw_only=True):
    """The messages of a chat."""

    messages: Annotated[list[OllamaMessage], SOME]
    tools: Unsupported = None


class OllamaLine(msgspec.Struct, omit_defaults=True):
    """A line of a stream, or a whole answer; the last one has `done` and the counts. Times are in nanoseconds."""

    model: str
    created_at: str
    done: bool
    response: str | msgspec.UnsetType = msgspec.UNSET
    message: OllamaSaid | msgspec.UnsetType = msgspec.UNSET
    done_reason: str | None = None
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None


class OllamaEmbedBody(msgspec.Struct):
    """One or more texts."""

    model: Filled
    input: Filled | FilledTexts
    truncate: bool | None = True
    dimensions: Annotated[int, msgspec.Meta(ge=1)] | None = None
    keep_alive: NoEffect = None


class OllamaEmbeddings(msgspec.Struct):
    """A vector of length 1 for each text."""

    model: str
    embeddings: list[list[float]]
    total_duration: int
    load_duration: int
    prompt_eval_count: int


class OllamaModel(msgspec.Struct):
    """A model of the server."""

    name: str
    model: str


class OllamaTags(msgspec.Struct):
    """The models of the server."""

    models: list[OllamaModel]


class OllamaVersion(msgspec.Struct):
    """The version of the API that the mock has."""

    version: str


def _ns(seconds: float) -> int:
    return max(0, round(seconds * 1e9))


class _Shape:
    """Format of the lines; a text is in `response`, that of a chat in a message."""

    def __init__(self, model: str, chat: bool) -> None:
        self._model = model
        self._chat = chat

    def line(self, text: str, sequence: Sequence | None = None) -> bytes:
        """A line with a piece of the text, or the last one, of a sequence that has ended."""
        made = OllamaLine(self._model, datetime.now(UTC).isoformat(), sequence is not None)
        if self._chat:
            made.message = OllamaSaid("assistant", text)
        else:
            made.response = text
        if sequence is not None:
            made.done_reason = sequence.finish_reason
            made.total_duration, made.load_duration = _ns(sequence.ended - sequence.arrived), 0
            made.prompt_eval_count = sequence.prompt_tokens
            made.prompt_eval_duration = _ns(sequence.first - sequence.started)
            made.eval_count, made.eval_duration = sequence.tokens, _ns(sequence.ended - sequence.first)
        return _encode(made)

    def piece(self, index: int, text: str) -> bytes:
        return self.line(text) + b"\n"

    def end(self, index: int, sequence: Sequence) -> bytes:
        return self.line("", sequence) + b"\n"

    def close(self, sequences: list[Sequence]) -> bytes:
        return b""

    def failed(self, error: ApiError) -> bytes:
        return error.as_text().body() + b"\n"


async def generate(app: App, exchange: Exchange, body: OllamaGenerateBody) -> Reply:
    _supported(body, "images", "suffix", "think")
    prompt = check.text(app, f"{body.system}\n{body.prompt}" if body.system else body.prompt, "prompt", empty=False)
    return await _answer(app, exchange, body, app.engine.prompt(prompt), _Shape(body.model, chat=False))


async def chat(app: App, exchange: Exchange, body: OllamaChatBody) -> Reply:
    _supported(body, "tools", "think")
    for message in body.messages:
        _supported(message, "images")
    check.count(app, len(body.messages), "messages")
    check.text(app, "".join([message.content for message in body.messages]), "messages")
    prompt = app.engine.prompt([(message.role, message.content, {}) for message in body.messages])
    return await _answer(app, exchange, body, prompt, _Shape(body.model, chat=True))


def _supported(body: msgspec.Struct, *names: str) -> None:
    """Refuse fields that would change the answer."""
    for name in names:
        if getattr(body, name) not in (None, False, "", []):
            raise invalid(f"{name}: is not supported by this server; leave it out", name, "unsupported_parameter")


async def _answer(app: App, exchange: Exchange, body: Common, prompt: str, shape: _Shape) -> Reply:
    check.served(app, "generate")
    options = body.options or OllamaOptions()
    asked, script = options.asked(), None
    if body.format:
        form = Form(ANY_OBJECT if body.format == "json" else body.format, "format")
        script = await script_of(app, form, prompt, asked.sampling(), options.tokens)
    (sequence,) = await begin(app, exchange, [prompt], asked, options.tokens, TOKENS_DEFAULT, script)
    if body.stream:
        return StreamReply(events_of(app, exchange, [sequence], shape), LINES)
    (text,) = await collect(app, exchange, [sequence])
    return Reply(shape.line(text, sequence))


async def embed(app: App, exchange: Exchange, body: OllamaEmbedBody) -> Reply:
    check.served(app, "embed")
    texts: Several[str] = [body.input] if isinstance(body.input, str) else body.input
    works = [Work("embed", (text,)) for text in check.texts(app, list(texts), "input")]
    for work in works:
        work.truncate = body.truncate is not False
    await app.run(exchange, works)
    vectors = [check.shortened(work.output, body.dimensions) for work in works]
    spent = _ns(app.clock() - exchange.arrived)
    return Reply(_encode(OllamaEmbeddings(body.model, vectors, spent, 0, sum(work.tokens for work in works))))


async def tags(app: App, exchange: Exchange, body: None) -> Reply:
    name = app.engine.info.model
    return Reply(_encode(OllamaTags([OllamaModel(name, name)])))


async def version(app: App, exchange: Exchange, body: None) -> Reply:
    return Reply(_encode(OllamaVersion("0.12.0")))


def _family(method: str, path: str, handler: Any, summary: str, **more: Any) -> Route:
    return Route(method, path, handler, summary, "ollama", translate=ApiError.as_text, **more)


ROUTES = [
    _family(
        "POST", "/api/generate", generate, "Text generated from a prompt",
        request=OllamaGenerateBody, answer=OllamaLine, streams=True, event=OllamaLine, event_type=LINES.decode(),
    ),
    _family(
        "POST", "/api/chat", chat, "Chat completion",
        request=OllamaChatBody, answer=OllamaLine, streams=True, event=OllamaLine, event_type=LINES.decode(),
    ),
    _family("POST", "/api/embed", embed, "Embeddings", request=OllamaEmbedBody, answer=OllamaEmbeddings),
    _family("GET", "/api/tags", tags, "The served model", answer=OllamaTags, work=False),
    _family("GET", "/api/version", version, "Version of the API", answer=OllamaVersion, work=False),
]  # fmt: skip

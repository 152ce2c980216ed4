"""The routes /generate and /generate_stream of text-generation-inference (huggingface.co/docs)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from zlib import crc32

import msgspec

from model_server.api import _checks as check
from model_server.api._asked import Asked, NoEffect, Seed, Share, Stop, Temperature, Unsupported
from model_server.api._generation import begin, collect, events_of
from model_server.api._texts import Filled
from model_server.errors import ApiError, invalid
from model_server.http.exchange import Exchange
from model_server.http.reply import Reply, StreamReply
from model_server.http.routes import Route
from model_server.work import Sequence

if TYPE_CHECKING:
    from model_server.http.app import App

TOKENS_DEFAULT = 100
_REASONS = {"stop": "stop_sequence", "length": "length"}
_encode = msgspec.json.Encoder().encode


class TgiParameters(msgspec.Struct, forbid_unknown_fields=True):
    """How a text is generated. Fields that would change the answer are refused by name."""

    max_new_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    seed: Seed | None = None
    stop: Annotated[list[Stop], msgspec.Meta(max_length=4)] = []
    do_sample: bool = False
    details: bool = False
    return_full_text: bool | None = None
    decoder_input_details: NoEffect = None
    watermark: NoEffect = None
    truncate: NoEffect = None
    adapter_id: Unsupported = None
    best_of: Unsupported = None
    frequency_penalty: Unsupported = None
    grammar: Unsupported = None
    repetition_penalty: Unsupported = None
    top_k: Unsupported = None
    top_n_tokens: Unsupported = None
    typical_p: Unsupported = None

    def asked(self) -> Asked:
        """The same in the server's own form."""
        seed = self.seed if self.do_sample or self.temperature is not None else None
        temperature = 1.0 if self.do_sample and self.temperature is None else self.temperature
        return Asked(stop=self.stop, temperature=temperature, top_p=self.top_p, seed=seed, echo=self.return_full_text)


_UNSUPPORTED = (
    "adapter_id", "best_of", "frequency_penalty", "grammar", "repetition_penalty", "top_k", "top_n_tokens", "typical_p",
)  # fmt: skip


class TgiGenerateBody(msgspec.Struct):
    """A prompt and its parameters."""

    inputs: Filled
    parameters: TgiParameters | None = None


class TgiToken(msgspec.Struct):
    """A generated token."""

    id: int
    text: str
    logprob: float
    special: bool


class TgiDetails(msgspec.Struct):
    """The end of a generation."""

    finish_reason: str
    generated_tokens: int
    input_length: int
    seed: int | None = None


class TgiGenerated(msgspec.Struct):
    """A whole answer; `details` only if they were asked for."""

    generated_text: str
    details: TgiDetails | None = None


class TgiEvent(msgspec.Struct):
    """One token; the last one has the whole text and the details."""

    index: int
    token: TgiToken
    generated_text: str | None = None
    details: TgiDetails | None = None


class _Shape:
    """Format of the events. The event of the last token carries the whole text and the details."""

    def __init__(self, tokens_max: int) -> None:
        self._tokens_max = tokens_max
        self._pieces: list[str] = []

    def _event(self, text: str, special: bool = False, **more: Any) -> bytes:
        token = TgiToken(crc32(text.encode()) & 0x7FFF_FFFF, text, -0.5, special)
        return b"data:" + _encode(TgiEvent(len(self._pieces), token, **more)) + b"\n\n"

    def piece(self, index: int, text: str) -> bytes:
        self._pieces.append(text)
        return b"" if len(self._pieces) == self._tokens_max else self._event(text)

    def end(self, index: int, sequence: Sequence) -> bytes:
        last = self._pieces[-1] if len(self._pieces) == self._tokens_max else ""
        whole = "".join(self._pieces)
        return self._event(last, not last, generated_text=whole, details=_details(sequence))

    def close(self, sequences: list[Sequence]) -> bytes:
        return b""

    def failed(self, error: ApiError) -> bytes:
        return b"data:" + translated(error).body() + b"\n\n"


def _details(sequence: Sequence) -> TgiDetails:
    reason = _REASONS.get(str(sequence.finish_reason), str(sequence.finish_reason))
    return TgiDetails(reason, sequence.tokens, sequence.prompt_tokens, sequence.sampling.seed)


async def generate(app: App, exchange: Exchange, body: TgiGenerateBody) -> Reply:
    sequence = await _begun(app, exchange, body)
    (text,) = await collect(app, exchange, [sequence])
    details = _details(sequence) if body.parameters is not None and body.parameters.details else None
    return Reply(_encode(TgiGenerated(text, details)))


async def generate_stream(app: App, exchange: Exchange, body: TgiGenerateBody) -> Reply:
    sequence = await _begun(app, exchange, body)
    return StreamReply(events_of(app, exchange, [sequence], _Shape(sequence.tokens_max)))


async def _begun(app: App, exchange: Exchange, body: TgiGenerateBody) -> Sequence:
    check.served(app, "generate")
    parameters = body.parameters or TgiParameters()
    for name in _UNSUPPORTED:
        if getattr(parameters, name) is not None:
            raise invalid(f"{name}: is not supported by this server; leave it out", name, "unsupported_parameter")
    prompt = app.engine.prompt(check.text(app, body.inputs, "inputs", empty=False))
    (sequence,) = await begin(app, exchange, [prompt], parameters.asked(), parameters.max_new_tokens, TOKENS_DEFAULT)
    return sequence


def translated(error: ApiError) -> ApiError:
    """This error with TGI's status and type: 422 for an invalid request, 429 for a full server, 424 for the model."""
    if error.status in (429, 503, 504):
        error.status, kind = 429, "overloaded"
    elif error.status >= 500:
        error.status, kind = 424, "generation"
    else:
        error.status, kind = 422 if error.status == 400 else error.status, "validation"
    error.error_type = kind
    return error.as_text()


ROUTES = [
    Route(
        "POST", "/generate", generate, "Text generated from a prompt", "tgi",
        TgiGenerateBody, TgiGenerated, statuses=(422, 424), translate=translated,
    ),
    Route(
        "POST", "/generate_stream", generate_stream, "The same as server-sent events", "tgi",
        TgiGenerateBody, TgiGenerated, statuses=(422, 424), translate=translated, streams=True, event=TgiEvent,
    ),
]  # fmt: skip

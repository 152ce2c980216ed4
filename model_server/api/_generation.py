"""What the generating routes share: start a sequence, collect it whole, or pass it on piece by piece."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING

from model_server.errors import ApiError, ClientGone, deadline_exceeded
from model_server.exchange import Exchange, Timing
from model_server.work import Sequence

if TYPE_CHECKING:
    from model_server.app import App

DONE = b"data: [DONE]\n\n"


def begin(app: App, exchange: Exchange, prompt: str, tokens_max: int) -> Sequence:
    """Admit a generation; raises `ApiError` when the prompt is too long or the queue full."""
    from model_server.app import deadline_of

    length = app.engine.count_tokens("generate", (prompt,))
    limit = app.engine.info.input_tokens_max
    if length + tokens_max > limit:
        message = f"{length} prompt tokens and max_tokens {tokens_max} are over the context length of {limit}"
        raise ApiError(400, message, code="context_length_exceeded", param="max_tokens")
    sequence = Sequence(prompt, length, tokens_max, exchange.arrived)
    sequence.deadline = deadline_of(exchange)
    app.lane.submit(sequence)
    if sequence.finish_reason is None:
        exchange.when_gone(lambda: app.lane.cancel(sequence))
    return sequence


async def collect(app: App, exchange: Exchange, sequence: Sequence) -> str:
    """The whole text."""
    parts: list[str] = []
    try:
        while pieces := await sequence.more():
            parts += pieces
    finally:
        _end(app, sequence)
    _check(sequence)
    exchange.timing = _timing(sequence, sequence.ended)
    return "".join(parts)


async def pieces_of(
    app: App,
    exchange: Exchange,
    sequence: Sequence,
    event: Callable[[str], bytes],
    tail: Callable[[Sequence], bytes],
) -> AsyncGenerator[bytes, None]:
    """Server-sent events: `event(piece)` per token, `tail(sequence)` at the end; an error after the first event is
    one more event and closes the stream."""
    started = False
    try:
        while pieces := await sequence.more():
            if not started:
                exchange.timing = _timing(sequence, sequence.first)
                started = True
            yield b"".join([event(piece) for piece in pieces])
        try:
            _check(sequence)
        except ApiError as error:
            if not started:
                raise
            yield b"data: " + error.body() + b"\n\n"
            exchange.outcome = "failed"
            return
        yield tail(sequence)
    finally:
        _end(app, sequence)


def _end(app: App, sequence: Sequence) -> None:
    if sequence.finish_reason is None:
        app.lane.cancel(sequence)
    app.metrics.sequence(sequence)


def _check(sequence: Sequence) -> None:
    reason = sequence.finish_reason
    if reason == "cancelled":
        raise ClientGone
    if reason == "expired":
        raise deadline_exceeded()
    if reason == "error":
        raise ApiError(500, "generation failed", code="generation_failed", type="server_error")


def _timing(sequence: Sequence, until: float) -> Timing:
    tokens = sequence.prompt_tokens + sequence.tokens
    return Timing(sequence.started - sequence.arrived, until - sequence.started, 1, sequence.prompt_tokens, tokens)

"""Generation for all routes: starts sequences, collects whole texts, or streams them piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

from model_server.api import _checks as check
from model_server.errors import ApiError, ClientGone, deadline_exceeded, invalid
from model_server.http.exchange import Exchange, Timing
from model_server.sampling import Sampling, Script
from model_server.work import Sequence

if TYPE_CHECKING:
    from model_server.api._asked import Asked
    from model_server.http.app import App

Prompts = list[str | tuple[int, ...]]
"""Texts, or token ids from `Engine.ids`."""

DONE = b"data: [DONE]\n\n"


def failed_event(error: ApiError) -> bytes:
    """An error as a server-sent event."""
    return b"data: " + error.body() + b"\n\n"


class Shape(Protocol):
    """Format of a route's events; `index` identifies a sequence of the request."""

    def piece(self, index: int, text: str) -> bytes:
        """The event of one token."""
        ...

    def end(self, index: int, sequence: Sequence) -> bytes:
        """The last event of one sequence."""
        ...

    def close(self, sequences: list[Sequence]) -> bytes:
        """The last event of the stream."""
        ...

    def failed(self, error: ApiError) -> bytes:
        """The event of an error, which ends the stream."""
        ...


async def begin(
    app: App,
    exchange: Exchange,
    prompts: Prompts,
    body: Asked,
    asked: int | None,
    default: int,
    script: Script | None = None,
) -> list[Sequence]:
    """Admit one generation per prompt, all or none; raises `ApiError` if a prompt is too long or the queue is full.

    Each generates `asked` tokens; if that is None, `default`, reduced to the server's bound and the model's context.
    With a script, that is what each generates, cut after `asked` tokens.
    """
    if "" in body.stops:
        raise invalid("stop: must not hold an empty text", "stop", "empty")
    check.tokens(app, asked, "max_tokens")
    sampling = body.sampling()
    # The queue is checked before any prompt is tokenized.
    app.lane.check_room(len(prompts))
    for prompt in prompts:
        if app.engine.is_long("generate", (prompt,)):
            await app.engine.prepare("generate", (prompt,))
    sequences: list[Sequence] = []
    try:
        for prompt in prompts:
            sequence = _sequence(app, exchange, prompt, asked, default if script is None else script.tokens, sampling)
            sequence.script = script
            sequence.shape_text(body.stops, _echo(app, prompt) if body.echo else "")
            app.lane.submit(sequence)
            sequences.append(sequence)
    except BaseException:
        _cancel(app, sequences)
        raise
    if any(sequence.finish_reason is None for sequence in sequences):
        exchange.when_gone(lambda: _cancel(app, sequences))
    return sequences


def _sequence(
    app: App, exchange: Exchange, prompt: str | tuple[int, ...], asked: int | None, default: int, sampling: Sampling
) -> Sequence:
    length = app.engine.count_tokens("generate", (prompt,))
    limit = app.engine.info.tokens_max("generate")
    tokens_max = asked or max(1, min(default, app.settings.tokens_max, limit - length))
    if length + tokens_max > limit:
        message = f"{length} prompt tokens and max_tokens {tokens_max} are over the context length of {limit}"
        raise ApiError(400, message, code="context_length_exceeded", param="max_tokens")
    sequence = Sequence(prompt, length, tokens_max, exchange.arrived)
    if sampling.tokens_min > tokens_max:
        raise invalid(f"min_tokens: {sampling.tokens_min} is over max_tokens, which is {tokens_max}", "min_tokens")
    sequence.deadline = exchange.deadline
    sequence.sampling = sampling
    return sequence


def _echo(app: App, prompt: str | tuple[int, ...]) -> str:
    return prompt if isinstance(prompt, str) else app.engine.text_of("generate", prompt)


async def collect(app: App, exchange: Exchange, sequences: list[Sequence]) -> list[str]:
    """The whole texts."""
    texts = []
    try:
        for sequence in sequences:
            parts: list[str] = []
            while pieces := await sequence.more():
                parts += pieces
            _check(sequence)
            texts.append("".join(parts))
    finally:
        _end(app, sequences)
    exchange.timing = _timing(sequences, max(sequence.ended for sequence in sequences))
    return texts


async def events_of(
    app: App, exchange: Exchange, sequences: list[Sequence], shape: Shape
) -> AsyncGenerator[bytes, None]:
    """Server-sent events; an error after the first of them is one more event and closes the stream."""
    started = False
    try:
        async with aclosing(_only(sequences[0]) if len(sequences) == 1 else _merged(sequences)) as source:
            async for index, pieces in source:
                if not pieces:
                    _check(sequences[index])
                if not started:
                    exchange.timing = _timing(sequences, sequences[index].first)
                    started = True
                made = [shape.piece(index, piece) for piece in pieces] or [shape.end(index, sequences[index])]
                if event := b"".join(made):
                    yield event
        if event := shape.close(sequences):
            yield event
    except ApiError as error:
        if not started:
            raise
        exchange.outcome = "failed"
        yield shape.failed(error)
    finally:
        _end(app, sequences)


async def _only(sequence: Sequence) -> AsyncGenerator[tuple[int, list[str]], None]:
    while pieces := await sequence.more():
        yield 0, pieces
    yield 0, pieces


async def _merged(sequences: list[Sequence]) -> AsyncGenerator[tuple[int, list[str]], None]:
    """Pieces in order of arrival, with an empty list at the end of each sequence."""
    ready: asyncio.Queue[tuple[int, list[str]]] = asyncio.Queue()

    async def pump(index: int, sequence: Sequence) -> None:
        while pieces := await sequence.more():
            ready.put_nowait((index, pieces))
        ready.put_nowait((index, pieces))

    tasks = [asyncio.create_task(pump(index, sequence)) for index, sequence in enumerate(sequences)]
    try:
        left = len(tasks)
        while left:
            index, pieces = await ready.get()
            left -= not pieces
            yield index, pieces
    finally:
        for task in tasks:
            task.cancel()


def _cancel(app: App, sequences: list[Sequence]) -> None:
    for sequence in sequences:
        if sequence.finish_reason is None:
            app.lane.cancel(sequence)


def _end(app: App, sequences: list[Sequence]) -> None:
    _cancel(app, sequences)
    for sequence in sequences:
        app.metrics.sequence(sequence)


def _check(sequence: Sequence) -> None:
    reason = sequence.finish_reason
    if reason == "cancelled":
        raise ClientGone
    if reason == "expired":
        raise deadline_exceeded()
    if reason == "error":
        raise ApiError(500, "generation failed", code="generation_failed", type="server_error")


def _timing(sequences: list[Sequence], until: float) -> Timing:
    """Timing of the request, from the first start of a sequence; its sequences count as one batch."""
    started = min(sequence.started for sequence in sequences)
    tokens = sum(sequence.prompt_tokens + sequence.tokens for sequence in sequences)
    longest = max(sequence.prompt_tokens for sequence in sequences)
    return Timing(started - sequences[0].arrived, until - started, len(sequences), longest, tokens)

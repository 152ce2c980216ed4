"""The interface between HTTP and an engine: work, batches, sequences and the `Engine` protocol.

Kinds of work: input -> output
  similarity  (text1, text2)               -> float in [0, 1]
  embed       (text,)                      -> list[float]
  fill-mask   (text, top_k)                -> one list of (score, token, token_str, sequence) per mask
  nli         (premise, hypothesis)        -> (contradiction logit, entailment logit)
  rerank      (query, text)                -> float logit
  classify    (text,) or (text, pair)      -> list of (label, score), best first
Generation is not batched here: the engine gets whole `Sequence`s and emits their tokens.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec

from model_server.sampling import GREEDY, Sampling, Script


class Work:
    """One item in the queue. Instants are in seconds on the loop's clock."""

    __slots__ = (
        "arrived",
        "call",
        "cancelled",
        "deadline",
        "in_flight",
        "inputs",
        "kind",
        "output",
        "raw",
        "tokens",
        "truncate",
    )

    def __init__(self, kind: str, inputs: tuple[Any, ...]) -> None:
        self.kind = kind
        self.inputs = inputs
        self.tokens = 0
        # Return scores before softmax or sigmoid.
        self.raw = False
        # Cut a too long input to the model's bound instead of refusing it.
        self.truncate = False
        self.arrived = 0.0
        self.deadline = math.inf
        self.cancelled = False
        # Calls in the server when this one arrived, itself included.
        self.in_flight = 0
        self.output: Any = None
        # Only the dispatcher uses it.
        self.call: Any = None


class Batch:
    """Items that are computed together."""

    __slots__ = ("ended", "error", "kind", "length", "started", "tokens", "works")

    def __init__(self, works: list[Work], length: int, started: float) -> None:
        self.works = works
        self.kind = works[0].kind
        # The padded length of each item.
        self.length = length
        self.tokens = works[0].tokens if len(works) == 1 else sum([work.tokens for work in works])
        self.started = started
        self.ended = math.nan
        self.error: Exception | None = None

    @property
    def padded_tokens(self) -> int:
        return self.length * len(self.works)


class StopTexts:
    """Cuts a text that arrives in pieces before the first stop text, even if that is split between pieces."""

    __slots__ = ("_held", "_texts", "met")

    def __init__(self, texts: tuple[str, ...]) -> None:
        self._texts = texts
        # The end of the text so far that may be the beginning of a stop text.
        self._held = ""
        self.met = False

    def feed(self, piece: str, *, counts: bool = True) -> str:
        """The part that is certainly before any stop text. If not `counts`, stop texts that end here are plain text."""
        text = self._held + piece
        found = [place for stop in self._texts if (place := self._find(stop, text)) >= 0]
        if found and counts:
            self.met = True
            return text[: min(found)]
        held = max(_overlap(text, stop) for stop in self._texts)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def _find(self, stop: str, text: str) -> int:
        """The position of `stop` in `text` if it ends in the new piece, else -1: earlier ones did not count."""
        return text.find(stop, max(0, len(self._held) - len(stop) + 1))

    def rest(self) -> str:
        """The text has ended: returns the held back part, which was no stop text."""
        rest, self._held = self._held, ""
        return rest


def _overlap(text: str, stop: str) -> int:
    """The length of the longest suffix of `text` that is a prefix of `stop`."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)


class Sequence:
    """One generation: a prompt in, pieces of text out as they are generated."""

    __slots__ = (
        "_echo",
        "_stops",
        "_waiter",
        "arrived",
        "cached_tokens",
        "cancelled",
        "deadline",
        "ended",
        "finish_reason",
        "first",
        "on_end",
        "pieces",
        "prompt",
        "prompt_tokens",
        "sampling",
        "script",
        "started",
        "tokens",
        "tokens_max",
    )

    def __init__(self, prompt: str | tuple[int, ...], prompt_tokens: int, tokens_max: int, arrived: float) -> None:
        self.prompt = prompt
        self.prompt_tokens = prompt_tokens
        # Tokens of the prompt that the engine had kept from earlier ones; None if it keeps none.
        self.cached_tokens: int | None = None
        self.tokens_max = tokens_max
        self.sampling: Sampling = GREEDY
        self.script: Script | None = None
        self.arrived = arrived
        self.deadline = math.inf
        self.started = math.nan  # end of its queue wait
        self.first = math.nan  # first token
        self.ended = math.nan
        self.tokens = 0
        self.pieces: list[str] = []
        self.cancelled = False
        self.finish_reason: str | None = None  # stop, length, cancelled, expired, error
        self.on_end: Callable[[Sequence], None] | None = None
        self._stops: StopTexts | None = None
        self._echo = ""  # prefix of the first piece
        self._waiter: asyncio.Future[None] | None = None

    def shape_text(self, stops: tuple[str, ...], echo: str) -> None:
        """End the answer before the first of these stop texts, and begin it with `echo`."""
        self._stops = StopTexts(stops) if stops else None
        self._echo = echo

    @property
    def stopped(self) -> bool:
        """True after a stop text: the engine can end the sequence."""
        return self._stops is not None and self._stops.met

    def emit(self, piece: str, now: float) -> None:
        """Called by the engine for each token. Tokens after a stop text are dropped."""
        if self.stopped:
            return
        if not self.tokens:
            self.first = now
        self.tokens += 1
        if self._stops is not None:
            piece = self._stops.feed(piece, counts=self.tokens > self.sampling.tokens_min)
            self.cancelled = self.cancelled or self._stops.met
        self._pass_on(piece)

    def _pass_on(self, piece: str) -> None:
        piece, self._echo = self._echo + piece, ""
        if piece or self._stops is None:
            self.pieces.append(piece)
            self._wake()

    def finish(self, reason: str, now: float) -> None:
        """Called by the engine or lane at the end; later calls are ignored."""
        if self.finish_reason is None:
            if self._stops is not None and not self._stops.met:
                self._pass_on(self._stops.rest())
            self.finish_reason = "stop" if self.stopped else reason
            self.ended = now
            if self.on_end is not None:
                self.on_end(self)
            self._wake()

    async def more(self) -> list[str]:
        """Wait for new pieces and return them; empty when the sequence has ended and all pieces were returned."""
        while not self.pieces and self.finish_reason is None:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        pieces, self.pieces = self.pieces, []
        return pieces

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class EngineInfo(msgspec.Struct, frozen=True):
    """Facts about a server's model."""

    model: str
    kinds: frozenset[str]  # kinds of work, and "generate"
    input_tokens_max: int = 8192
    note: str | None = None  # e.g. "simulated", "random weights: answers are meaningless"
    dtype: str = "none"
    details: dict[str, Any] = {}
    # Kinds of work with another bound than `input_tokens_max`.
    limits: dict[str, int] = {}
    # Whether messages of a chat may hold images.
    images: bool = False
    # Whether a chat may ask for thinking and calls of tools.
    tools: bool = False
    # Whether a generation can follow a `Script`.
    scripts: bool = False

    def tokens_max(self, kind: str) -> int:
        """The longest input of this kind."""
        return self.limits.get(kind, self.input_tokens_max) if self.limits else self.input_tokens_max


Said = tuple[str, str, dict[str, Any]]
"""A message of a chat: role, content and its other fields."""
Prompt = str | Iterable[Said]
"""One instruction, or a chat."""


TokenOf = tuple[int, str, bool, int | None, int | None]
"""Id, text, True for a special token, and the start and end offsets in the text."""


def line_of(said: Said) -> str:
    """A message as one line, for models without a chat template."""
    role, content, more = said
    return f"{role}: {content}{msgspec.json.encode(more).decode()}" if more else f"{role}: {content}"


class Engine(Protocol):
    """Computes the outputs of a batch of inputs. It is called on the loop's thread and never blocks it."""

    @property
    def info(self) -> EngineInfo: ...

    @property
    def ready(self) -> bool:
        """True if the engine accepts work; until then requests are refused with 503."""
        ...

    @property
    def failure(self) -> BaseException | None:
        """Why it has stopped computing; None while it works."""
        ...

    def open(self) -> None:
        """Called once on the running loop, before all other methods."""
        ...

    def count_tokens(self, kind: str, inputs: tuple[Any, ...], /) -> int:
        """Length of the input in tokens, special tokens included."""
        ...

    def is_long(self, kind: str, inputs: tuple[Any, ...], /) -> bool:
        """True if counting this input would block the loop; `prepare` counts it outside the loop."""
        ...

    async def prepare(self, kind: str, inputs: tuple[Any, ...], /) -> None:
        """Count a long input outside the loop, so that `count_tokens` has the result."""
        ...

    def ids(self, kind: str, ids: tuple[int, ...], param: str, /) -> str | tuple[int, ...]:
        """Token ids as an input of this kind of work; raises `ApiError` at `param` for an unknown id."""
        ...

    def text_of(self, kind: str, ids: tuple[int, ...], /) -> str:
        """The text of these token ids."""
        ...

    async def tokens(self, kind: str, text: str, special: bool, /) -> list[TokenOf]:
        """The tokens of a text, with or without special tokens around it."""
        ...

    def prompt(self, asked: Prompt, /) -> str:
        """The text that the model continues; raises `ApiError` for a chat that the model does not support."""
        ...

    def start(self, batch: Batch, done: Callable[[Batch], None], /) -> None:
        """Compute a batch: set the `output` of its works (or `batch.error`) and `batch.ended`; call `done(batch)`."""
        ...

    def generate(self, sequence: Sequence, /) -> None:
        """Emit tokens until `tokens_max`, the end or `sequence.cancelled`, then call `finish`."""
        ...

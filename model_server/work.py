"""What passes between the HTTP face and an engine: work, batches, sequences, and the `Engine` protocol itself.

Kinds of work: input -> output
  similarity  (text1, text2)               -> float in [0, 1]
  embed       (text,)                      -> list[float]
  fill-mask   (text, top_k)                -> one list of (score, token, token_str, sequence) per mask
  nli         (premise, hypothesis)        -> (contradiction logit, entailment logit)
  rerank      (query, text)                -> float logit
  classify    (text,) or (text, pair)      -> list of (label, score), best first
Generation is not batched by the face: a `Sequence` is handed over whole and the engine emits its tokens.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec

from model_server.sampling import GREEDY, Sampling


class Work:
    """One item in the queue. Instants in seconds on the loop's clock."""

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
        self.raw = False  # scores before softmax or sigmoid
        self.truncate = False  # too long an input is cut to what the model takes, not refused
        self.arrived = 0.0
        self.deadline = math.inf
        self.cancelled = False
        self.in_flight = 0  # calls in the server when this one arrived, itself included
        self.output: Any = None
        self.call: Any = None  # the dispatcher's; engines leave it alone


class Batch:
    """Work that is computed together."""

    __slots__ = ("ended", "error", "kind", "length", "started", "tokens", "works")

    def __init__(self, works: list[Work], length: int, started: float) -> None:
        self.works = works
        self.kind = works[0].kind
        self.length = length  # padded: what each item costs
        self.tokens = works[0].tokens if len(works) == 1 else sum([work.tokens for work in works])
        self.started = started
        self.ended = math.nan
        self.error: Exception | None = None

    @property
    def padded_tokens(self) -> int:
        return self.length * len(self.works)


class StopTexts:
    """Cuts a text that comes in pieces before the first of some texts, wherever the pieces are split."""

    __slots__ = ("_held", "_texts", "met")

    def __init__(self, texts: tuple[str, ...]) -> None:
        self._texts = texts
        self._held = ""  # may be the beginning of one of the texts
        self.met = False

    def feed(self, piece: str, *, counts: bool = True) -> str:
        """The part that is certainly before any stop text; one that ends in this piece is text if it does not count."""
        text = self._held + piece
        found = [place for stop in self._texts if (place := self._find(stop, text)) >= 0]
        if found and counts:
            self.met = True
            return text[: min(found)]
        held = max(_overlap(text, stop) for stop in self._texts)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def _find(self, stop: str, text: str) -> int:
        """Where `stop` is in `text`, if it ends in the new piece: what ended before did not count."""
        return text.find(stop, max(0, len(self._held) - len(stop) + 1))

    def rest(self) -> str:
        """The text is over: what was held back was no stop text."""
        rest, self._held = self._held, ""
        return rest


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` with which `stop` begins."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)


class Sequence:
    """One generation: a prompt in, pieces of text out as they are made."""

    __slots__ = (
        "_echo",
        "_stops",
        "_waiter",
        "arrived",
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
        "started",
        "tokens",
        "tokens_max",
    )

    def __init__(self, prompt: str | tuple[int, ...], prompt_tokens: int, tokens_max: int, arrived: float) -> None:
        self.prompt = prompt
        self.prompt_tokens = prompt_tokens
        self.tokens_max = tokens_max
        self.sampling: Sampling = GREEDY
        self.arrived = arrived
        self.deadline = math.inf
        self.started = math.nan  # left the queue
        self.first = math.nan  # first token
        self.ended = math.nan
        self.tokens = 0
        self.pieces: list[str] = []
        self.cancelled = False
        self.finish_reason: str | None = None  # stop, length, cancelled, expired, error
        self.on_end: Callable[[Sequence], None] | None = None
        self._stops: StopTexts | None = None
        self._echo = ""  # what the first piece begins with
        self._waiter: asyncio.Future[None] | None = None

    def shape_text(self, stops: tuple[str, ...], echo: str) -> None:
        """End before the first of these texts, and begin the answer with `echo`."""
        self._stops = StopTexts(stops) if stops else None
        self._echo = echo

    @property
    def stopped(self) -> bool:
        """A stop text was met: the engine need not go on."""
        return self._stops is not None and self._stops.met

    def emit(self, piece: str, now: float) -> None:
        """Engine: one more token. What comes after a stop text is dropped."""
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
        """Engine or lane: the last word, exactly once; later calls are ignored."""
        if self.finish_reason is None:
            if self._stops is not None and not self._stops.met:
                self._pass_on(self._stops.rest())
            self.finish_reason = "stop" if self.stopped else reason
            self.ended = now
            if self.on_end is not None:
                self.on_end(self)
            self._wake()

    async def more(self) -> list[str]:
        """Wait for new pieces and take them; empty when the sequence has ended and all were taken."""
        while not self.pieces and self.finish_reason is None:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        pieces, self.pieces = self.pieces, []
        return pieces

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class EngineInfo(msgspec.Struct, frozen=True):
    """What a server tells of the model behind it."""

    model: str
    kinds: frozenset[str]  # of work, and "generate"
    input_tokens_max: int = 8192
    note: str | None = None  # e.g. "simulated", "random weights: answers are meaningless"
    dtype: str = "none"
    details: dict[str, Any] = {}
    limits: dict[str, int] = {}  # kinds whose inputs have another bound than `input_tokens_max`

    def tokens_max(self, kind: str) -> int:
        """The longest input of this kind."""
        return self.limits.get(kind, self.input_tokens_max) if self.limits else self.input_tokens_max


Said = tuple[str, str, dict[str, Any]]
"""A message of a chat: role, content, and its other fields."""
Prompt = str | Iterable[Said]
"""One instruction, or a chat."""


TokenOf = tuple[int, str, bool, int | None, int | None]
"""Id, text, whether it is a special one, and from where to where it is in the text."""


def line_of(said: Said) -> str:
    """A message as a line, for models without a chat template."""
    role, content, more = said
    return f"{role}: {content}{msgspec.json.encode(more).decode()}" if more else f"{role}: {content}"


class Engine(Protocol):
    """The inside of a server: a batch of inputs -> outputs. Called on the loop's thread, never blocks it."""

    @property
    def info(self) -> EngineInfo: ...

    @property
    def ready(self) -> bool:
        """It takes work; until then the face refuses it with 503."""
        ...

    def open(self) -> None:
        """Called once, on the running loop, before anything else."""
        ...

    def count_tokens(self, kind: str, inputs: tuple[Any, ...], /) -> int:
        """Length of the input in tokens, special tokens included."""
        ...

    def is_long(self, kind: str, inputs: tuple[Any, ...], /) -> bool:
        """Counting this input would hold up the loop; `prepare` does it elsewhere."""
        ...

    async def prepare(self, kind: str, inputs: tuple[Any, ...], /) -> None:
        """Count a long input off the loop, so that `count_tokens` knows it."""
        ...

    def ids(self, kind: str, ids: tuple[int, ...], param: str, /) -> str | tuple[int, ...]:
        """Token ids as an input of this kind of work; raises `ApiError` at `param` for one that does not exist."""
        ...

    def text_of(self, kind: str, ids: tuple[int, ...], /) -> str:
        """The text that these token ids are."""
        ...

    async def tokens(self, kind: str, text: str, special: bool, /) -> list[TokenOf]:
        """The tokens of a text, with or without the special ones around it."""
        ...

    def prompt(self, asked: Prompt, /) -> str:
        """What the model is to continue; raises `ApiError` for a chat that it cannot take."""
        ...

    def start(self, batch: Batch, done: Callable[[Batch], None], /) -> None:
        """Begin; set every work's `output` (or `batch.error`) and `batch.ended`, then call `done(batch)` once."""
        ...

    def generate(self, sequence: Sequence, /) -> None:
        """Begin to emit tokens until `tokens_max`, the end or `sequence.cancelled`; then `finish`."""
        ...

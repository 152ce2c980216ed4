"""The types that everything which sends speaks: item, request, attempt, response, result.

Rules of this file
  1. An outcome is data. Nothing that can happen to an exchange is raised across a layer.
  2. Every instant is in seconds on the running loop's clock (`harness.client.clock`), never the wall clock.
  3. `response.sent` and `response.done` are stamped even when the exchange failed; NaN means "did not happen".
"""

from __future__ import annotations

import enum
import math
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import msgspec


class Outcome(enum.IntEnum):
    """What became of a request; the number is what the record file holds, so never renumber."""

    ok = 0
    rejected = 1  # 429 or 503: the server says "not now"
    timed_out = 2  # no complete answer in the time allowed
    server_error = 3  # 5xx other than 503
    client_error = 4  # 4xx other than 429, and any other unexpected status
    connection_error = 5  # refused, reset, broken off, unresolvable
    bad_response = 6  # an answer that is not what the API promises
    cancelled = 7  # given up by the client itself while it was in flight
    not_sent = 8  # never left the client
    unfinished = 9  # still in flight when the drain at the end of the run was over


class Item(msgspec.Struct, frozen=True):
    """One unit of work. `due` and `fired` are set by a load; in production they stay NaN."""

    index: int
    data: Any  # what the task's `parse` returned
    task: Task
    priority: int = 0  # smaller is more urgent
    due: float = math.nan  # when the load says it starts
    fired: float = math.nan  # when the load really gave it out; fired - due is the lag


class Progress(msgspec.Struct):
    """How far the attempt of a request has come; the transport writes it for a layer that must know (a hedge)."""

    sent: float = math.nan
    first_byte: float = math.nan


class Request(msgspec.Struct, frozen=True):
    """One call for one or more items, its body already encoded."""

    items: tuple[Item, ...]
    task: Task
    path: str
    body: bytes
    stream: bool = False  # the answer comes as server-sent events
    deadline: float = math.inf  # absolute; no attempt may start after it
    idempotent: bool = True
    headers: Mapping[str, str] | None = None
    progress: Progress | None = None
    method: str = "POST"


class Attempt(msgspec.Struct, frozen=True):
    """One HTTP exchange other than the one whose answer counts: it failed before it, or lost against it."""

    sent: float
    first_byte: float
    done: float
    outcome: Outcome
    status: int


class Answers(tuple[Any, ...]):
    """Answers, and how much was odd about them: what was not as the API says, and did not matter."""

    oddities: int

    def __new__(cls, answers: Iterable[Any], oddities: int = 0) -> Answers:
        made = super().__new__(cls, answers)
        made.oddities = oddities
        return made


class Response(msgspec.Struct):
    """What came of a request: the stamps and answer of the attempt that counts, and its other attempts."""

    outcome: Outcome
    status: int = 0  # HTTP status; 0 where none arrived
    answers: tuple[Any, ...] = ()  # one per item of the request, only when ok
    sent: float = math.nan  # last attempt: its exchange began (connecting included)
    first_byte: float = math.nan  # head of the answer (plain) or first content event (stream)
    done: float = math.nan  # last byte read, or the instant it was given up
    previous: tuple[Attempt, ...] = ()
    chunks: tuple[float, ...] = ()  # arrival of every event of a stream
    retry_after_s: float | None = None  # what the server asked for
    server_timing: str | None = None  # the header as it came
    headers: Mapping[str, str] | None = None  # of the answer, as the transport has them; keys found whatever their case
    error: str | None = None  # one line for people
    from_cache: bool = False  # answered without an exchange of its own: from a cache, or with an equal request
    cached_items: frozenset[int] = frozenset()  # of a request of several items, those a cache answered, by index

    @property
    def first_sent(self) -> float:
        """When the first attempt was sent; NaN if none ever was. A hedge that lost began after the one that won."""
        first = self.previous[0].sent if self.previous else self.sent
        return self.sent if self.sent < first else first

    @property
    def oddities(self) -> int:
        """How much was odd about the answers, though it did not matter; 0 where they came from a cache."""
        return 0 if self.from_cache else getattr(self.answers, "oddities", 0)

    @property
    def attempts(self) -> int:
        """HTTP exchanges made, this one included; 0 if it was never sent."""
        return len(self.previous) + (0 if math.isnan(self.sent) else 1)


class Result(msgspec.Struct, frozen=True):
    """An item and what became of it; `answer` is None unless the outcome is ok."""

    item: Item
    response: Response
    answer: Any = None

    @property
    def ok(self) -> bool:
        return self.response.outcome is Outcome.ok


class Signal(enum.Enum):
    """What an outcome says to a limit."""

    success = "success"
    overload = "overload"  # the server had too much to do, or failed
    ignored = "ignored"  # never sent, the client's own doing, or for a person to judge


SIGNALS: Mapping[Outcome, Signal] = dict.fromkeys(Outcome, Signal.ignored) | {
    Outcome.ok: Signal.success,
    Outcome.rejected: Signal.overload,
    Outcome.timed_out: Signal.overload,
    Outcome.server_error: Signal.overload,
    Outcome.connection_error: Signal.overload,
}
"""The signal of every outcome; the one place where this is said."""
_SIGNAL_AT = tuple(SIGNALS[outcome] for outcome in Outcome)  # by number: quicker than by the hash of an enum


class Sample(msgspec.Struct, frozen=True):
    """What a limit learns from one attempt. The gate hands over no sample of an attempt that was never sent."""

    outcome: Outcome
    sent: float
    done: float
    in_flight: int  # attempts in flight just after this one was admitted, itself included
    limit: int  # the limit under which it was admitted
    generation: int  # how often the limit had changed when it was admitted
    retry_after_s: float | None = None
    work: float = 1.0  # cost relative to an average attempt (1.0 = average), from `harness.client.gate.size`
    lag_s: float = 0.0  # the part of done - sent attributed to delay of the client's event loop

    @property
    def signal(self) -> Signal:
        """Success, overload, or ignored: an ignored attempt held a slot for its time, and teaches nothing else."""
        return _SIGNAL_AT[self.outcome]

    @property
    def latency_s(self) -> float:
        """The server's: without the client's own lateness."""
        return self.done - self.sent - self.lag_s


class Send(Protocol):
    """Everything that sends speaks this; it completes when the last byte is read and never raises for an outcome."""

    def __call__(self, request: Request, /) -> Awaitable[Response]: ...


Layers = Callable[[Send], Send]
"""Puts request-level layers (cache, deadline, retry, rate limit) around one that sends a single attempt."""


def no_layers(send: Send) -> Send:
    """The empty composition: every request is one attempt."""
    return send


class Strategy(Protocol):
    """How a client application works through a stream of items.

    `send` makes one attempt. A strategy that bounds concurrency puts its `ConcurrencyLimit` around `send` first and
    `layers` around that, so that a request asleep between two attempts holds no slot (docs/strategies.md has the cost
    of the other order). Results come as they complete unless the strategy says otherwise.
    """

    blocking: ClassVar[bool]  # True: wants the transport that blocks a thread for each exchange

    def stream(
        self, items: AsyncIterable[Item], send: Send, /, layers: Layers = no_layers
    ) -> AsyncGenerator[Result, None]: ...


@runtime_checkable
class Limit(Protocol):
    """A concurrency algorithm: pure, without clock, waiting or I/O."""

    @property
    def value(self) -> int: ...

    def update(self, sample: Sample, /) -> None: ...


class Task(Protocol):
    """One kind of work: JSON row -> checked data -> request, and response body -> checked answer."""

    @property
    def name(self) -> str: ...

    def parse(self, row: Mapping[str, Any], /) -> Any:
        """Check one JSONL row; raises `ItemError` that names the field."""
        ...

    def request(self, items: Sequence[Item], /) -> Request:
        """Encode a call for these items (most APIs take one)."""
        ...

    def answer(self, request: Request, body: bytes, /) -> tuple[Any, ...]:
        """The answers, one per item; raises `BadResponse` for a missing or malformed one, never a default."""
        ...

    def answer_stream(self, request: Request, events: Sequence[bytes], /) -> tuple[Any, ...]:
        """The same from the `data:` payloads of a finished event stream."""
        ...

    def synthetic(self, words: Callable[[int], str], length: int, /) -> Any:
        """Data of about `length` tokens; `words(n)` gives n seeded words."""
        ...


def request_for(item: Item) -> Request:
    """The request for a single item."""
    return item.task.request((item,))


def result_of(item: Item, response: Response, position: int = 0) -> Result:
    """Pair an item with its share of a response."""
    answer = response.answers[position] if response.outcome is Outcome.ok else None
    return Result(item, response, answer)

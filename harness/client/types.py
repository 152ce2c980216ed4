"""Types of the client: item, request, attempt, response, result.

Rules of this file
  1. An outcome is data. Nothing that can happen to an exchange is raised across a layer.
  2. Every instant is in seconds on the running loop's clock (`harness.base.clock`), never the wall clock.
  3. `response.sent` and `response.done` are stamped even when the exchange failed; NaN means "did not happen".
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import msgspec

from harness.client.answers import Answers as Answers  # noqa: PLC0414 - re-exported
from harness.client.answers import oddities_of as oddities_of  # noqa: PLC0414 - re-exported
from harness.client.event_form import EventForm as EventForm  # noqa: PLC0414 - re-exported
from harness.client.event_form import EventSplitter as EventSplitter  # noqa: PLC0414 - re-exported
from harness.client.outcome import SIGNALS as SIGNALS  # noqa: PLC0414 - re-exported
from harness.client.outcome import Outcome as Outcome  # noqa: PLC0414 - re-exported
from harness.client.outcome import Signal as Signal  # noqa: PLC0414 - re-exported
from harness.client.sample import Sample as Sample  # noqa: PLC0414 - re-exported


class Item(msgspec.Struct, frozen=True):
    """One unit of work.

    Attributes:
        index: Position in the input, from 0.
        data: Checked data of the row, as the task's `parse` returns it.
        task: Task that makes the request.
        priority: Smaller is more urgent. Default 0.
        due: Instant at which a load schedules it, in seconds on the loop's clock. Default nan: no schedule, as
            in production.
        fired: Instant at which the load released it; `fired - due` is the lag. Default nan.
    """

    index: int
    data: Any
    task: Task
    priority: int = 0
    due: float = math.nan
    fired: float = math.nan


class AttemptProgress(msgspec.Struct):
    """Progress of the attempt of a request, written by the transport for layers that need it (hedge)."""

    sent: float = math.nan
    first_byte: float = math.nan


ANSWERED = frozenset({200, 202})
"""Statuses of an answer, unless the request names others."""


class Request(msgspec.Struct, frozen=True):
    """One call for one or more items, its body already encoded.

    Attributes:
        items: Items that the call is for.
        task: Task that reads the answer.
        path: Path and query of the route, from the base URL.
        body: Body as it is sent.
        stream: Whether the answer comes as a stream of events. Default False.
        deadline: Instant after which no attempt may start, in seconds on the loop's clock. Default inf.
        idempotent: Whether the request may be sent twice. Default True.
        headers: Headers for this request only. Default None.
        progress: Progress of the attempt, written by the transport for a layer that needs it. Default None.
        method: HTTP method. Default "POST".
        answered: Statuses of an answer; the task reads the body. Default frozenset({200, 202}).
        events: Form of a streamed answer. Default None: server-sent events as OpenAI's API has them.
        cache_key: Key under which layers keep the answer, in place of path, body and headers. Default None.
        stop_after: Content events of a stream after which the client ends it: outcome cancelled, with the answer as
            far as it came. Default None: it is read to its end.
    """

    items: tuple[Item, ...]
    task: Task
    path: str
    body: bytes
    stream: bool = False
    deadline: float = math.inf
    idempotent: bool = True
    headers: Mapping[str, str] | None = None
    progress: AttemptProgress | None = None
    method: str = "POST"
    answered: frozenset[int] = ANSWERED
    events: EventForm | None = None
    cache_key: bytes | None = None
    stop_after: int | None = None


class Attempt(msgspec.Struct, frozen=True):
    """One HTTP exchange other than the one whose answer counts: an earlier failure, or the loser of a hedge.

    Attributes:
        sent: Instant at which the exchange began, in seconds on the loop's clock; NaN if it did not happen.
        first_byte: Instant of the first byte of the answer; NaN if none came.
        done: Instant of the last byte, or of the failure.
        outcome: Outcome of the exchange.
        status: HTTP status; 0 if none came.
        own: Whether a layer made the call for itself (a semantic cache asks for an embedding); then it is no
            attempt of the item. Default False.
    """

    sent: float
    first_byte: float
    done: float
    outcome: Outcome
    status: int
    own: bool = False


class Response(msgspec.Struct):
    """The result of a request: instants and answers of the attempt that counts, and its other attempts.

    Attributes:
        outcome: Outcome of the attempt that counts.
        status: HTTP status; 0 if none came. Default 0.
        answers: One answer for each item of the request, only if ok. Default ().
        sent: Instant at which the last exchange began, connecting included, in seconds on the loop's clock.
            Default nan.
        first_byte: Instant of the head of the answer, or of the first content event of a stream. Default nan.
        done: Instant of the last byte, or of the failure. Default nan.
        previous: Other attempts, in the order of time. Default ().
        chunks: Arrival of every content event of a stream. Default ().
        retry_after_s: Seconds that the server asks the client to wait. Default None.
        server_timing: Header `Server-Timing` as it came. Default None.
        headers: Headers of the answer; the case of names does not count. Default None.
        error: Reason of a failure, one line for people. Default None.
        from_cache: Whether it was answered without an exchange of its own, from a cache or with an equal
            request. Default False.
        cached_items: Positions of the items that a cache answered, in a request of several. Default
            frozenset().
    """

    outcome: Outcome
    status: int = 0
    answers: tuple[Any, ...] = ()
    sent: float = math.nan
    first_byte: float = math.nan
    done: float = math.nan
    previous: tuple[Attempt, ...] = ()
    chunks: tuple[float, ...] = ()
    retry_after_s: float | None = None
    server_timing: str | None = None
    headers: Mapping[str, str] | None = None
    error: str | None = None
    from_cache: bool = False
    cached_items: frozenset[int] = frozenset()

    @property
    def first_sent(self) -> float:
        """When the first attempt was sent; NaN if none ever was. A hedge that lost began after the one that won."""
        first = next((attempt.sent for attempt in self.previous if not attempt.own), self.sent)
        return self.sent if self.sent < first else first

    @property
    def oddities(self) -> int:
        """Harmless deviations of the answers from the API; 0 if they came from a cache."""
        return 0 if self.from_cache else oddities_of(self.answers)

    @property
    def attempts(self) -> int:
        """HTTP exchanges made, this one and calls of layers included; 0 if there was none."""
        return len(self.previous) + (0 if math.isnan(self.sent) else 1)


class Result(msgspec.Struct, frozen=True):
    """An item and its outcome.

    Attributes:
        item: Item.
        response: Response to the request that carried the item.
        answer: Answer to the item; None unless the outcome is ok. Default None.
    """

    item: Item
    response: Response
    answer: Any = None

    @property
    def ok(self) -> bool:
        return self.response.outcome is Outcome.ok


class Send(Protocol):
    """Interface of transports and layers; completes when the last byte is read and never raises for an outcome."""

    def __call__(self, request: Request, /) -> Awaitable[Response]: ...


Layers = Callable[[Send], Send]
"""Puts request-level layers (cache, deadline, retry, rate limit) around one that sends a single attempt."""


def no_layers(send: Send) -> Send:
    """No layers: every request is one attempt.

    Args:
        send: Sends one attempt; it is returned as it is.
    """
    return send


class Strategy(Protocol):
    """Sends a stream of items for a client application.

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

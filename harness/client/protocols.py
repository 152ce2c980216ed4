"""Optional abilities of tasks, answers, strategies, limits and layers: a class has one by having its attributes.

Nothing needs to inherit from these protocols. `provides` is the one test for them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol, TypeGuard, TypeVar, runtime_checkable

from harness.client.bound import Bound
from harness.client.types import Limit, Request, Response, Strategy

P = TypeVar("P")


# Tasks and the data of items.


@runtime_checkable
class TextTask(Protocol):
    """A task whose requests carry one text, which layers may cut into chunks or compare by meaning.

    `data` is what the task's `parse` returned.
    """

    def text_of(self, data: Any, /) -> str | None:
        """The text; None if this item has none that may be changed."""
        ...

    def with_text(self, data: Any, text: str, /) -> Any:
        """The same data with another text."""
        ...


@runtime_checkable
class JoiningTask(TextTask, Protocol):
    """A `TextTask` whose answers to the chunks of a text make an answer to the whole: generated texts, not scores."""

    def joined(self, answers: Sequence[Any], separator: str, /) -> Any:
        """The answers to the chunks, in order, as one answer."""
        ...


@runtime_checkable
class BatchedTask(Protocol):
    """A task with an upper bound of items in a request."""

    @property
    def items_max(self) -> int: ...


@runtime_checkable
class SampledTask(Protocol):
    """A task with a temperature: None leaves it to the server, above 0 equal requests may get unequal answers."""

    temperature: float | None


@runtime_checkable
class GeneratingTask(Protocol):
    """A task that bounds the tokens of a generated answer."""

    max_tokens: int


@runtime_checkable
class ParameterTask(Protocol):
    """A task whose rows may set parameters of the API, which `--param` sets for rows without their own."""

    @property
    def parameter_names(self) -> Collection[str]: ...
    @property
    def refused_parameters(self) -> Mapping[str, str]:
        """Names of the API that change the answer in an unsupported way, and why."""
        ...


@runtime_checkable
class FieldsTask(Protocol):
    """A task that declares the fields that it reads of a row, so that `--map` to another field is refused."""

    @property
    def row_fields(self) -> Collection[str]: ...


@runtime_checkable
class WithParameters(Protocol):
    """Data of a row that sets parameters of its own; they take precedence over the settings of the task."""

    parameters: Mapping[str, Any]


# Answers.


class TokenCounts(Protocol):
    """Tokens as the server counted them; None where it did not."""

    @property
    def prompt_tokens(self) -> int | None: ...
    @property
    def completion_tokens(self) -> int | None: ...


@runtime_checkable
class CountedAnswer(Protocol):
    """An answer with the server's token counts; None if the server sent none."""

    @property
    def usage(self) -> TokenCounts | None: ...


@runtime_checkable
class TextAnswer(Protocol):
    """An answer with a generated text."""

    @property
    def text(self) -> str: ...


@runtime_checkable
class FinishedAnswer(Protocol):
    """An answer that says why generation ended (`stop`, `length`, `tool_calls`, ...)."""

    @property
    def finish_reason(self) -> str | None: ...


# Strategies and layers.


@runtime_checkable
class RealTimeOnly(Protocol):
    """A strategy or layer that cannot be simulated with some of its settings."""

    @property
    def needs_real_time(self) -> str | None:
        """The setting that needs real time, why, and what to use instead; None if it can be simulated."""
        ...


# Strategies.


@runtime_checkable
class ThreadedStrategy(Protocol):
    """A blocking strategy that sends from several threads at once; a blocking strategy without it uses one."""

    @property
    def threads(self) -> int: ...


@runtime_checkable
class BatchingStrategy(Protocol):
    """A strategy that collects `size` items before it sends them."""

    @property
    def size(self) -> int: ...


@runtime_checkable
class RoutedStrategy(Protocol):
    """A strategy that needs a route of the server beside those of its tasks, which answers GET."""

    @property
    def needs_route(self) -> str: ...


@runtime_checkable
class CollectingStrategy(Protocol):
    """A strategy that, if `collects` is true, sends no item before it has several or the input has ended."""

    @property
    def collects(self) -> bool: ...


@runtime_checkable
class PriorityStrategy(Protocol):
    """A strategy that sends urgent items first if `priority` is true."""

    @property
    def priority(self) -> bool: ...


# Limits and the gate.


@runtime_checkable
class PacedLimit(Limit, Protocol):
    """A limit that also bounds the rate at which attempts start; infinity means no bound. May change at any time."""

    @property
    def rate_per_s(self) -> float: ...


@runtime_checkable
class SizedLimit(Limit, Protocol):
    """A limit that wants `Sample.work`, the relative size of an attempt, if `uses_work` is true."""

    @property
    def uses_work(self) -> bool: ...


@runtime_checkable
class QueueLimit(Limit, Protocol):
    """A limit that wants `Sample.queue_s` and `Sample.first_s`, if `uses_queue` is true."""

    @property
    def uses_queue(self) -> bool: ...


@runtime_checkable
class ExplainedLimit(Limit, Protocol):
    """A limit that gives the cause of its last change: a `harness.client.cause.Cause`, or a text of its own."""

    @property
    def cause(self) -> str: ...


@runtime_checkable
class BoundedLimit(Limit, Protocol):
    """A limit with an upper bound of its value."""

    @property
    def maximum(self) -> int: ...


@runtime_checkable
class TellingGate(Protocol):
    """A gate that says what keeps the next attempt from starting now."""

    @property
    def bound(self) -> Bound: ...


@runtime_checkable
class Gate(Protocol):
    """A `Send` that bounds a strategy's attempts in flight and shows how many slots are taken.

    A strategy calls `layers(gate)`. The harness then records the limit, and a hedge uses free slots only.
    """

    @property
    def limit(self) -> Limit: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def vacant(self) -> bool: ...

    async def __call__(self, request: Request, /) -> Response: ...


@runtime_checkable
class Addressed(Protocol):
    """A transport that knows its server. Strategies with a limit that learns share one gate for each endpoint."""

    @property
    def endpoint(self) -> str: ...


def endpoint_of(send: object) -> str:
    """The server of a transport; empty if it is not known."""
    return send.endpoint if isinstance(send, Addressed) else ""


def gate_of(send: object) -> Gate | None:
    """The gate that a strategy passes to its layers; None if it passes a plain `send`."""
    return send if isinstance(send, Gate) else None


@runtime_checkable
class PlacedLayer(Protocol):
    """A layer that says where it stands: the lowest number is outermost. A class without it is outermost."""

    place: float


@runtime_checkable
class Closable(Protocol):
    """A layer or an embedding that holds files or connections."""

    async def aclose(self) -> None: ...


_known: dict[tuple[type, type], bool] = {}


def provides(value: object, protocol: type[P]) -> TypeGuard[P]:
    """Whether a value has an ability; checked once per class, because a check costs microseconds."""
    key = type(value), protocol
    known = _known.get(key)
    if known is None:
        known = _known[key] = isinstance(value, protocol)
    return known


def uses_priorities(strategy: Strategy) -> bool:
    """Whether a strategy uses the priorities of items."""
    return provides(strategy, PriorityStrategy) and bool(strategy.priority)

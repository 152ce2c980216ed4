"""A conversation cut into exchanges, so that each turn of the user can be sent with the answers before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import msgspec

from harness.client.text.tokens import estimate_tokens
from harness.client.types import Task


class Exchange(NamedTuple):
    """Messages of the user and the answer to them, as messages of the task."""

    asked: tuple[Any, ...]
    answered: tuple[Any, ...] = ()


class Script(NamedTuple):
    """A conversation: what stands before the first user's message, the exchanges, and parameters of its row."""

    preamble: tuple[Any, ...]
    exchanges: tuple[Exchange, ...]
    parameters: Mapping[str, Any]


@runtime_checkable
class ConversationTask(Task, Protocol):
    """A task whose items are conversations, so that the next item can go on with the answer to the last one."""

    def script_of(self, data: Any, /) -> Script:
        """The conversation of an item, cut into exchanges."""
        ...

    def turn(self, script: Script, history: Sequence[Exchange], asked: tuple[Any, ...], /) -> Any:
        """The data of an item: the preamble, the earlier messages, and those of this turn."""
        ...

    def messages_of(self, answer: Any, /) -> tuple[Any, ...]:
        """An answer as messages that a later turn carries."""
        ...

    def made_up(self, data: Any, /) -> tuple[Any, ...]:
        """The text of synthetic data as an answer, for a history that nobody has generated."""
        ...

    def partial_answer(self, events: Sequence[bytes], /) -> Any:
        """The answer in the events so far, for a stream that the client cancels."""
        ...


class History:
    """The exchanges of a conversation until now."""

    def __init__(self, exchanges: Iterable[Exchange] = ()) -> None:
        self._exchanges: list[Exchange] = []
        self._tokens: list[int] = []
        for exchange in exchanges:
            self.add(exchange)

    def __len__(self) -> int:
        return len(self._exchanges)

    def add(self, exchange: Exchange) -> None:
        """The next exchange."""
        self._exchanges.append(exchange)
        self._tokens.append(estimate_tokens(msgspec.json.encode(exchange).decode()))

    def within(self, tokens_max: int) -> list[Exchange]:
        """The latest exchanges that have at most this many tokens together, as estimated."""
        left, first = tokens_max, len(self._exchanges)
        while first and (left := left - self._tokens[first - 1]) >= 0:
            first -= 1
        return self._exchanges[first:]

"""Shared by the tasks of OpenAI's generating APIs: their settings, their body, their answers and their streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from harness.client.answers import Usage
from harness.client.checks import between
from harness.client.errors import BadResponse
from harness.client.tasks._choices import one_answer, pieces_of, refuse_error
from harness.client.tasks._decode import decode, events_in
from harness.client.tasks._said import Completion, Oddities, Said, joined_completion
from harness.client.transport.event_stream import DONE, is_content
from harness.client.types import Request, oddities_of

_body = msgspec.json.Decoder(dict[str, Any])
_event = msgspec.json.Decoder()


@dataclass(frozen=True)
class Generating:
    """The settings of these tasks, and their answers."""

    max_tokens: int = 64
    stream: bool = False
    model: str | None = None
    temperature: float | None = None

    def __post_init__(self) -> None:
        between(self, 1, 1_000_000, "max_tokens")
        if self.temperature is not None:
            between(self, 0.0, 2.0, "temperature")

    def fill(self, body: dict[str, Any], own: Mapping[str, Any]) -> bool:
        """Add the settings and the row's own parameters to a body, `stream` last; returns whether it streams."""
        given = {"model": self.model, "temperature": self.temperature}
        body |= {name: value for name, value in given.items() if value is not None}
        body |= own
        stream: bool = own.get("stream", self.stream)
        body.pop("stream", None)
        if stream:
            body["stream"] = True
        return stream

    def answer(self, request: Request, body: bytes, /) -> tuple[Completion]:
        """The first choice or the output; of a stream that the server sent unasked, its pieces joined."""
        if (events := events_in(body)) is not None:
            answers = self.answer_stream(request, events)
            return one_answer(answers[0], 1 + oddities_of(answers))
        odd = Oddities()
        return one_answer(self._completion(decode(_body, body), odd), odd.count)

    def answer_stream(self, request: Request, events: Sequence[bytes], /) -> tuple[Completion]:
        """The answer in these events."""
        raise NotImplementedError

    def _completion(self, answer: dict[str, Any], odd: Oddities) -> Completion:
        """The completion in a whole answer; raises BadResponse."""
        raise NotImplementedError

    def joined(self, answers: Sequence[Completion], separator: str, /) -> Completion:
        return joined_completion(answers, separator)


class Joined(NamedTuple):
    """A stream of choices, joined."""

    said: Said
    reason: str | None
    usage: Usage | None
    done: bool  # its end mark was there
    first: int | None  # tokens of its first event, where the server counts event by event


Add = Callable[[Said, dict[str, Any], Oddities], None]


def answer_of_pieces(events: Sequence[bytes], add: Add) -> tuple[Completion]:
    """The pieces joined; a stream without a finish reason or end mark broke off and is not an answer."""
    odd = Oddities()
    said, reason, usage, done, first = joined(events, odd, add)
    if not (done and reason is not None):
        raise BadResponse(f"the stream broke off after {len(events)} events, without its end mark")
    return one_answer(said.completion(reason, usage), odd.count, first)


def joined(events: Sequence[bytes], odd: Oddities, add: Add) -> Joined:
    """Join the pieces of a stream; `add` adds a piece of the first choice."""
    said, reason, usage = Said(odd), None, None
    first: int | None = None
    begun = False
    for payload in events:
        if payload == DONE:
            return Joined(said, reason, usage, True, first)
        event = odd.object(decode(_event, payload) if payload else None)
        if event is None:
            continue
        refuse_error(event)
        usage = odd.usage(event.get("usage")) or usage
        if not begun and is_content(payload):
            # A server that counts event by event says here how many tokens came at once.
            begun, first = True, None if usage is None else usage.completion_tokens
        for choice in pieces_of(event, odd):
            add(said, choice, odd)
            reason = odd.reason(choice.get("finish_reason")) or reason
    return Joined(said, reason, usage, False, first)

"""What the tasks of OpenAI's generating APIs share: the check of their settings, their body, and their streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from harness.client.answers import Usage
from harness.client.checks import between
from harness.client.tasks._choices import pieces_of, refuse_error
from harness.client.tasks._decode import decode
from harness.client.tasks._said import Oddities, Said
from harness.client.transport.event_stream import DONE, is_content

_event = msgspec.json.Decoder()


class Settings(Protocol):
    """The settings that these tasks have in common, beside `model` and `temperature`."""

    @property
    def stream(self) -> bool:
        """Whether the answer comes as server-sent events."""


def check_settings(task: Any) -> None:
    """Raise SettingError for a bound of tokens or a temperature out of range."""
    between(task, 1, 1_000_000, "max_tokens")
    if task.temperature is not None:
        between(task, 0.0, 2.0, "temperature")


def fill(body: dict[str, Any], task: Settings, own: Mapping[str, Any]) -> bool:
    """Add the task's settings and the row's own parameters to a body, `stream` last; returns whether it streams."""
    body |= {name: value for name in ("model", "temperature") if (value := getattr(task, name)) is not None}
    body |= own
    stream: bool = own.get("stream", task.stream)
    body.pop("stream", None)
    if stream:
        body["stream"] = True
    return stream


class Joined(NamedTuple):
    """A stream of choices, joined."""

    said: Said
    reason: str | None
    usage: Usage | None
    done: bool  # its end mark was there
    first: int | None  # tokens of its first event, where the server counts event by event


def joined(events: Sequence[bytes], odd: Oddities, add: Callable[[Said, dict[str, Any], Oddities], None]) -> Joined:
    """Join the pieces of a stream; `add` adds what a piece of the first choice says."""
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

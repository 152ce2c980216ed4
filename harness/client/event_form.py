"""Protocols of a streamed answer: how its bytes split into events, and what an event means."""

from __future__ import annotations

from typing import Protocol


class EventSplitter(Protocol):
    """Splits the bytes of a streamed answer into the payloads of its events."""

    plain: bytearray | None
    """The body, if the server sent a whole answer in place of a stream."""

    def feed(self, chunk: bytes, /) -> list[bytes]:
        """The payloads that these bytes complete."""
        ...

    def close(self) -> list[bytes]:
        """The stream is over: the payloads that its end completes; raises `BadResponse` if it broke off."""
        ...


class EventForm(Protocol):
    """The form of a streamed answer."""

    def splitter(self) -> EventSplitter:
        """A new splitter, for one answer."""
        ...

    def is_content(self, payload: bytes, /) -> bool:
        """Whether an event carries a piece of the answer; only such events count for times to and between tokens."""
        ...

    def is_end(self, payload: bytes, /) -> bool:
        """Whether an event without content is the last one, whatever the connection does after it."""
        ...

"""Streams of other forms than OpenAI's: server-sent events or JSON lines, with the text at a place of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from harness.client.answers import consistent, later
from harness.client.errors import BadResponse
from harness.client.redaction import excerpt
from harness.client.tasks._said import Completion
from harness.client.tasks.http.answers import UsagePlaces
from harness.client.tasks.http.conditions import Condition
from harness.client.tasks.http.pointer import MISSING, Tokens, found, kind_of, pointer
from harness.client.transport.event_stream import SseSplitter
from harness.client.types import EventSplitter

_decode = msgspec.json.Decoder().decode


class LineSplitter:
    """Lines to payloads; blank lines keep the connection alive and are skipped."""

    __slots__ = ("_tail", "plain")

    def __init__(self) -> None:
        # Not a list: an object for each small piece costs much more than its bytes.
        self._tail = bytearray()
        self.plain: bytearray | None = None

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes."""
        *ended, rest = chunk.split(b"\n")
        if ended:
            ended[0] = bytes(self._tail) + ended[0]
            self._tail.clear()
        self._tail += rest
        return [line for line in map(bytes.strip, ended) if line]

    def close(self) -> list[bytes]:
        """The last line, which may have no line end."""
        last = bytes(self._tail).strip()
        self._tail.clear()
        return [last] if last else []


class StreamForm(msgspec.Struct, frozen=True):
    """The form of a stream, and where its text is."""

    lines: bool = False  # JSON lines, else server-sent events
    text: Tokens | None = None  # None: the payload itself
    end: bytes | Condition | Literal["close"] = b"[DONE]"
    error: Tokens = ("error",)
    usage: UsagePlaces | None = None
    # Name of the server-sent event that ends the stream; then `end` is DONE.
    end_name: bytes | None = None
    # Where an event has a piece of the reasoning, which is no part of the text.
    reasoning: Tokens | None = None

    # As the transports use it (harness.client.types.EventForm).

    def splitter(self) -> EventSplitter:
        """A new splitter, for one answer."""
        return LineSplitter() if self.lines else SseSplitter(self.end_name, keeps_end=self.text is not None)

    def is_content(self, payload: bytes, /) -> bool:
        """Whether an event carries a piece of the text."""
        if not payload or payload == self.end:
            return False
        if self.text is None:
            return True
        event = _event(payload)
        # What cannot be read counts; `read` refuses it.
        return event is None or _has(event, self.text) or (self.reasoning is not None and _has(event, self.reasoning))

    def is_end(self, payload: bytes, /) -> bool:
        """Whether an event without text is the end."""
        return self._ends(payload, _event(payload))

    # As the task reads it.

    def read(self, events: Sequence[bytes]) -> Completion:
        """The text, the reasoning and the token counts of a finished stream; raises BadResponse."""
        pieces: list[str] = []
        thoughts: list[str] = []
        ended, usage = self.end == "close", None
        for payload in events:
            event = _event(payload)
            if event is not None:
                self._refuse_error(event)
                usage = later(self.usage.read(event), usage) if self.usage else None
                thoughts += self._thought(event)
            if (piece := self._text(payload, event)) is not None:
                pieces.append(piece)
            ended = ended or self._ends(payload, event)
        if not ended:
            raise BadResponse(f"the stream broke off after {len(pieces)} pieces, without its end mark")
        if not pieces and not thoughts:
            raise BadResponse(f"the stream ended without a piece of text{self._seen(events)}")
        usage = None if usage is None else consistent(usage)
        return Completion("".join(pieces), usage=usage, reasoning="".join(thoughts) or None)

    def partial_answer(self, events: Sequence[bytes]) -> str:
        """The text until now, of a stream that has not ended."""
        return "".join([self._text(payload, _event(payload)) or "" for payload in events])

    def _text(self, payload: bytes, event: Any) -> str | None:
        if not payload or payload == self.end:
            return None
        if self.text is None:
            return payload.decode(errors="replace")
        if event is None:
            raise BadResponse(f"an event that is not JSON: {excerpt(payload, 120)!r}")
        return self._piece(event)

    def _piece(self, event: Any) -> str | None:
        assert self.text is not None  # noqa: S101 - the callers have looked
        value = found(event, self.text)
        if value is MISSING or value is None:
            return None
        if not isinstance(value, str):
            raise BadResponse(f"an event whose {pointer(self.text)} is {kind_of(value)}, not a text")
        return value

    def _thought(self, event: Any) -> list[str]:
        value = MISSING if self.reasoning is None else found(event, self.reasoning)
        return [value] if isinstance(value, str) else []

    def _ends(self, payload: bytes, event: Any) -> bool:
        if isinstance(self.end, Condition):
            return event is not None and self.end.holds(event)
        return payload == self.end

    def _refuse_error(self, event: Any) -> None:
        value = found(event, self.error)
        if value is not MISSING and value:
            said = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            raise BadResponse(f"an error inside the stream: {excerpt(said, 200)}")

    def _seen(self, events: Sequence[bytes]) -> str:
        """The keys of the first event."""
        first = next((event for event in map(_event, events) if isinstance(event, dict)), None)
        return "" if first is None or self.text is None else f" at {pointer(self.text)}; events have {', '.join(first)}"


def _has(event: Any, tokens: Tokens) -> bool:
    """Whether an event has something there that is not empty."""
    value = found(event, tokens)
    return value is not MISSING and bool(value)


def _event(payload: bytes) -> Any:
    """The JSON of an event; None if it is none."""
    try:
        return _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None

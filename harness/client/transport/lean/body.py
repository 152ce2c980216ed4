"""The parts of an answer's body as they arrive: collected whole, or split into stamped events."""

from __future__ import annotations

from harness.client.errors import BadResponse
from harness.client.transport.encodings import Decoder
from harness.client.transport.event_stream import event_form
from harness.client.transport.held_bytes import BODY_MAX, EVENT_COST, Held
from harness.client.types import Request, Response


class WholeBody:
    """Collects a body that comes in several pieces, or encoded."""

    __slots__ = ("_data", "_decode", "_held")

    def __init__(self, decode: Decoder | None) -> None:
        self._decode = decode
        self._held = Held(BODY_MAX)
        # Not a list: an object for each small piece costs much more than its bytes.
        self._data = bytearray()

    def add(self, piece: bytes) -> None:
        """Bytes of the body; raises BadResponse if there are too many, or if they are damaged."""
        self._data += _plain(piece, self._decode, self._held)

    def whole(self) -> bytes:
        """The body; raises BadResponse if its encoding broke off."""
        if self._decode is not None:
            self._decode.close()
        return bytes(self._data)

    def release(self) -> None:
        """The exchange is over: its bytes no longer count."""
        self._held.__exit__(None, None, None)


class EventBody:
    """Splits a streamed body into events; each event with content has the instant at which its bytes arrived."""

    __slots__ = (
        "_decode",
        "_form",
        "_held",
        "_is_content",
        "_progress",
        "_stop_after",
        "events",
        "is_over",
        "splitter",
        "stamps",
    )

    def __init__(self, request: Request, decode: Decoder | None) -> None:
        self._form = event_form(request)
        self._is_content = self._form.is_content
        self._decode = decode
        self._held = Held(BODY_MAX)
        self._progress = request.progress
        self._stop_after = request.stop_after
        self.splitter = self._form.splitter()
        self.events: list[bytes] = []
        self.stamps: list[float] = []
        # The protocol of the stream says so, whatever the connection does after it.
        self.is_over = False

    def add(self, piece: bytes, at: float) -> None:
        """Bytes of the body that arrived at this instant. Raises BadResponse."""
        if self.is_over:
            return
        size = 0 if self._decode is not None else len(piece)
        if self._decode is not None:
            piece = self._decode.feed(piece, self._held)
        found = self.splitter.feed(piece)
        self._held.add(size + EVENT_COST * len(found))
        events, stamps, is_content = self.events, self.stamps, self._is_content
        for event in found:
            events.append(event)
            if is_content(event):
                stamps.append(at)
                if len(stamps) == 1 and self._progress is not None:
                    self._progress.first_byte = at
                if len(stamps) == self._stop_after:
                    self.is_over = True
                    return
            elif self._form.is_end(event):
                self.is_over = True
                return

    def close(self) -> None:
        """The body is over, without an end of its stream before it; raises BadResponse if its encoding broke off."""
        if self._decode is not None:
            self._decode.close()
        self.events += self.splitter.close()

    @property
    def is_stopped(self) -> bool:
        """Whether the client itself ended the stream."""
        return len(self.stamps) == self._stop_after

    def stamp(self, response: Response) -> None:
        """The instants of the stream; one that is cut off has begun all the same."""
        response.chunks = tuple(self.stamps)
        if self.stamps:
            response.first_byte = self.stamps[0]

    def release(self) -> None:
        """The exchange is over: its bytes no longer count."""
        self._held.__exit__(None, None, None)


def _plain(piece: bytes, decode: Decoder | None, held: Held) -> bytes:
    """These bytes, decoded and counted."""
    if decode is not None:
        return decode.feed(piece, held)
    held.add(len(piece))
    return piece


def refused_text(error: BadResponse) -> bytes:
    """In place of the body of a refusal that cannot be read: the status counts all the same."""
    return str(error).encode()

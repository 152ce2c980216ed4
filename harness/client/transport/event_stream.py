"""Server-sent events: the bytes of a streamed answer to payloads, and what a payload means.

Rules of this file
  1. It is pure: bytes in, values out; no clock, no socket. All transports split alike because all call this.
  2. An event stream that broke off is never a short answer: half an event at its end is a bad response.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from harness.client.errors import BadResponse
from harness.client.types import EventForm, Request

DONE = b"[DONE]"
_ONE_EVENT = re.compile(rb"data: (?!\[DONE\])([^\r\n]*)\n\n").fullmatch
_WHOLE_EVENTS = re.compile(rb"(?:data: (?!\[DONE\])[^\r\n]*+\n\n)++").match
"""Whole events with one line of data each, as servers mostly send them."""
_BETWEEN_EVENTS = b"\n\ndata: "
_CR, _LF, _BRACKET = 13, 10, 93
_PIECES = ("content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call")
"""Fields of a delta that carry a piece of the answer; thinking counts as a piece, and comes first."""
_BESIDE = frozenset(
    {"id", "object", "created", "model", "system_fingerprint", "service_tier", "usage", "error", "obfuscation"}
)
"""An event with only these fields, or with `choices` and none in it, carries no piece."""
_EMPTY = frozenset({DONE, b"", b"null"})
_KEEPS_ALIVE = frozenset({"ping", "heartbeat", "keepalive", "keep-alive"})


class _Event(msgspec.Struct):
    text: Any = None
    choices: Any = None
    done: Any = False


_event = msgspec.json.Decoder(_Event)
_any = msgspec.json.Decoder()


def is_content(payload: bytes) -> bool:
    """Whether a payload carries a piece of the answer: not the end mark, a role, a finish reason or token counts.

    Only such events count for the time to the first token and between tokens. Unknown events count.
    """
    if payload in _EMPTY:
        return False
    try:
        event = _event.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True
    if event.text is not None:
        return bool(event.text)
    if isinstance(event.choices, list):
        # Without a choice it is about something else, such as token counts, filters or timings.
        return any(map(_brings, event.choices))
    return not event.done and not _is_beside(payload)


def _brings(choice: Any) -> bool:
    if not isinstance(choice, dict):
        return False
    delta = choice.get("delta")
    return bool(choice.get("text")) or (isinstance(delta, dict) and any(delta.get(field) for field in _PIECES))


def _is_beside(payload: bytes) -> bool:
    """Whether an event without text and choices is known not to be part of the answer: a ping or token counts."""
    event = _any.decode(payload)
    return "choices" in event or _BESIDE.issuperset(event) or event.get("type") in _KEEPS_ALIVE


def is_end(payload: bytes) -> bool:
    """Whether a payload is the last of its stream by the protocol, whatever the connection does after it."""
    if payload == DONE:
        return True
    if b'"done"' not in payload:
        return False
    try:
        return bool(_event.decode(payload).done)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


class SseSplitter:
    """Server-sent events, fed in chunks of any size, to their `data:` payloads (WHATWG HTML, section 9.2.6).

    Lines end in LF, CR LF or CR; comments and fields other than `data` are skipped; several `data` lines of an event
    are joined by LF. Feeding is linear in the bytes fed, however small the chunks. Beyond the specification:

    - `[DONE]` is given out as soon as its line is there, blank line or not, and everything after it is ignored;
    - the data of an event that is named as a ping is empty, and that of one named `error` an object with `error`;
    - a stream that begins as a JSON document is one (`plain`): the server does not stream;
    - an event named `end_name` is followed by `[DONE]`, and its data is given out if `keeps_end`.
    """

    __slots__ = ("_begun", "_data", "_done", "_end_name", "_keeps_end", "_name", "_skip_lf", "_tail", "plain")

    def __init__(self, end_name: bytes | None = None, keeps_end: bool = True) -> None:
        self._end_name = end_name
        self._keeps_end = keeps_end
        # Neither is a list: an object for each small piece costs much more than its bytes.
        self._tail = bytearray()  # the line that has not ended
        self._data: bytes | bytearray | None = None  # `data` lines of the event that has not ended, joined
        self._skip_lf = False  # the last chunk ended in CR: a LF at the start of the next belongs to it
        self._begun = False
        self._name = b""  # of the event that has not ended
        self._done = False
        self.plain: bytearray | None = None

    def feed(self, chunk: bytes) -> list[bytes]:
        """The payloads that this chunk completes."""
        if self._data is not None or self._tail or self._name or self._skip_lf or self._done or self.plain is not None:
            return self._by_line(chunk)
        # Nothing of another event has come. Mostly the chunk is one whole event, or begins with some.
        if (one := _ONE_EVENT(chunk)) is not None:
            self._begun = True
            return [one[1]]
        if (found := _WHOLE_EVENTS(chunk)) is None:
            return self._by_line(chunk)
        self._begun = True
        events = found[0]
        payloads = events[6:-2].split(_BETWEEN_EVENTS)
        return payloads if len(events) == len(chunk) else payloads + self._by_line(chunk[len(events) :])

    def _by_line(self, chunk: bytes) -> list[bytes]:
        """The same for any chunk."""
        if not self._begun and (chunk := self._without_mark(chunk)) == b"":
            return []
        if self.plain is not None:
            self.plain += chunk
            return []
        if not chunk or self._done:
            return []
        if self._skip_lf and chunk[0] == _LF:
            chunk = chunk[1:]
            if not chunk:
                self._skip_lf = False
                return []
        self._skip_lf = chunk[-1] == _CR
        if b"\n" not in chunk and b"\r" not in chunk:
            self._tail += chunk
            return self._end_mark() if chunk[-1] == _BRACKET else []
        if self._tail:
            chunk = self._with_tail(chunk)
        lines = chunk.splitlines()
        if chunk[-1] not in (_CR, _LF):
            self._tail += lines.pop()
        payloads = self._payloads(lines)
        return payloads + self._end_mark() if self._tail and chunk[-1] == _BRACKET else payloads

    def _with_tail(self, chunk: bytes) -> bytes:
        """The line that has not ended, and these bytes."""
        whole = bytes(self._tail) + chunk
        self._tail.clear()
        return whole

    def _payloads(self, lines: list[bytes]) -> list[bytes]:
        payloads: list[bytes] = []
        for line in lines:
            if line.startswith(b"data:"):
                text = line[6:] if line[5:6] == b" " else line[5:]
                if self._data is not None:
                    self._join(text)
                elif text == DONE:
                    self._end()
                    return [*payloads, DONE]
                else:
                    self._data = text
            elif line == b"data":
                self._data = b"" if self._data is None else self._join(b"")
            elif not line:
                if self._end_name is not None and self._name == self._end_name:
                    return [*payloads, *self._named_end()]
                if self._data is not None:
                    payloads.append(self._payload(bytes(self._data)))
                    self._data = None
                self._name = b""
            elif line.startswith(b"event:"):
                self._name = line[6:].strip().lower()
        return payloads

    def _join(self, text: bytes) -> bytearray:
        """A further `data` line of an event; its data so far."""
        joined = self._data if isinstance(self._data, bytearray) else bytearray(self._data or b"")
        joined += b"\n"
        joined += text
        self._data = joined
        return joined

    def _end(self) -> None:
        """The stream is over."""
        self._done = True
        self._data = None
        self._tail.clear()

    def _named_end(self) -> list[bytes]:
        """The event whose name ends the stream: its data, and the end mark."""
        kept = [] if self._data is None or not self._keeps_end else [bytes(self._data)]
        self._end()
        return [*kept, DONE]

    def _payload(self, data: bytes) -> bytes:
        """The data of an event, by its name."""
        if not self._name or (self._name != b"error" and self._name.decode("latin-1") not in _KEEPS_ALIVE):
            return data
        if self._name != b"error":
            return b""
        try:
            error = _any.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            error = data.decode(errors="replace")
        return data if isinstance(error, dict) and error.get("error") else msgspec.json.encode({"error": error or True})

    def _end_mark(self) -> list[bytes]:
        """The end mark, if the unfinished line is one: some servers close the connection right after it."""
        if self._data is not None or len(self._tail) > len(b"data: ") + len(DONE) or self._tail[5:].strip() != DONE:
            return []
        return self._payloads([bytes(self._tail)])

    def _without_mark(self, chunk: bytes) -> bytes:
        """Remove the byte order mark from the start of the stream; returns nothing until that can be decided."""
        chunk = self._with_tail(chunk)
        if len(chunk) < 3 and b"\xef\xbb\xbf".startswith(chunk):
            self._tail += chunk
            return b""
        chunk = chunk.removeprefix(b"\xef\xbb\xbf")
        beginning = chunk.lstrip()
        if not chunk.strip(b"\r\n"):  # blank lines before a document or an event mean nothing
            return b""
        self._begun = True
        if beginning[:1] in (b"{", b"["):
            self.plain = bytearray()
        return chunk

    def close(self) -> list[bytes]:
        """The stream is over; raises BadResponse if it broke off inside an event."""
        if not self._done and (self._data is not None or self._tail):
            raise BadResponse("the event stream broke off inside an event")
        return []


class _ServerSentEvents:
    """Server-sent events with the payloads of OpenAI's API."""

    splitter = SseSplitter
    is_content = staticmethod(is_content)
    is_end = staticmethod(is_end)


_SERVER_SENT_EVENTS = _ServerSentEvents()


def event_form(request: Request) -> EventForm:
    """The form of the events that answer this request."""
    return request.events or _SERVER_SENT_EVENTS

"""Common parts of both transports: status to outcome, event stream to payloads, finished answer to response.

Rules of this file
  1. It is pure: bytes in, values out; no clock, no socket. Both transports classify alike because both call this.
  2. An event stream that broke off is never a short answer: half an event at its end is a bad response.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from harness.client.errors import BadResponse, SettingError
from harness.client.redaction import excerpt, shown
from harness.client.transport.retry_after import retry_after_s
from harness.client.types import ANSWERED, EventForm, Outcome, Request, Response

DONE = b"[DONE]"
_ONE_EVENT = re.compile(rb"data: (?!\[DONE\])([^\r\n]*)\n\n").fullmatch
"""A chunk that is one whole event with one line of data, as servers mostly send them."""
END_WAIT_S = 0.1  # time for the connection to end the body after the stream's own end mark
LOOPBACK = ("127.0.0.1", "::1")  # addresses of `localhost`, in the order in which they are tried
_EXCERPT = 200  # bytes of a refusal that are kept for messages
_CR, _LF, _BRACKET = 13, 10, 93


def base_url(url: str) -> str:
    """Without a trailing slash."""
    scheme, _, rest = url.partition("://")
    if scheme not in {"http", "https"} or rest[:1] in {"", "/"}:
        raise SettingError(f"url={shown(url)!r}: expected http://HOST[:PORT] or https://HOST[:PORT]")
    return f"{scheme}://{rest.rstrip('/')}"


def joined(base: str, path: str) -> str:
    """The URL of a route; a `/v1` at the end of the base and the start of the path appears once.

    OpenAI's base URLs end in `/v1`, which the paths of its routes begin with.
    """
    if not path.startswith("/"):
        # The target's own path, which is at least a slash.
        place = base.partition("://")[2] if "://" in base else base
        return base + path if "/" in place else f"{base}/{path}"
    shared = path.partition("?")[0]
    while shared:
        if base.endswith(shared):
            return base + path[len(shared) :]
        shared = shared.rpartition("/")[0]
    return base + path


def outcome_of_status(status: int) -> Outcome:
    """The outcome of an HTTP status, before the body is read.

    200 is ok, and so is 202 for an answer that comes later. 429 and 503 mean "not now"; 408 is the server's own
    time-out (RFC 9110); every other 5xx is the server's error. Any other status, redirects and other 2xx included,
    means that the request was wrong.
    """
    if status in ANSWERED:
        return Outcome.ok
    if status in {429, 503}:
        return Outcome.rejected
    if status == 408:
        return Outcome.timed_out
    return Outcome.server_error if 500 <= status <= 599 else Outcome.client_error


def refuse(response: Response, status: int, headers: Mapping[str, str], body: bytes, now_unix_s: float) -> None:
    """Fill in a response with a status other than 200; the keys of `headers` are case-insensitive."""
    outcome = outcome_of_status(status)
    # The task does not take this status for an answer.
    response.outcome = Outcome.client_error if outcome is Outcome.ok else outcome
    response.retry_after_s = retry_after_s(headers, now_unix_s)
    response.error = f"HTTP {status}: {_redirect(status, headers)}{excerpt(body, _EXCERPT)}"


def _redirect(status: int, headers: Mapping[str, str]) -> str:
    """Target of a redirect, without secrets; redirects are not followed."""
    location = headers.get("Location", "") if 300 <= status <= 399 else ""
    if not location:
        return ""
    place = re.sub(r"//[^/?#]*@", "//", re.split("[?#]", location)[0])[:_EXCERPT]
    return f"a redirect to {place!r}, which is not followed; if that is the server that is meant, name it. "


_PIECES = ("content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call")
"""Fields of a delta that carry a piece of the answer; thinking counts as a piece, and comes first."""
_BESIDE = frozenset(
    {"id", "object", "created", "model", "system_fingerprint", "service_tier", "usage", "error", "choices"}
)
"""An event with only these fields, without text and choices, carries no piece."""
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
    if isinstance(event.choices, list) and event.choices:
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
    return _BESIDE.issuperset(event) or event.get("type") in _KEEPS_ALIVE


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
        # Mostly a chunk is one whole event, and nothing of another one has come.
        if (
            (one := _ONE_EVENT(chunk)) is not None
            and self._begun
            and self._data is None
            and not (self._tail or self._name or self._skip_lf or self._done)
            and self.plain is None
        ):
            return [one[1]]
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

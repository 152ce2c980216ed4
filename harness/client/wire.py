"""What both transports share: status to outcome, event streams to payloads, a finished answer to a response.

Rules of this file
  1. It is pure: bytes in, values out; no clock, no socket. Both transports classify alike because both call this.
  2. An event stream that broke off is never a short answer: half an event at its end is a bad response.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from harness.client.errors import BadResponse, SettingError
from harness.client.retry_after import retry_after_s
from harness.client.types import Outcome, Response

DONE = b"[DONE]"
ANSWERED = frozenset({200, 202})
END_WAIT_S = 0.1  # so long the connection may take to end the body after the stream's own end mark
LOOPBACK = ("127.0.0.1", "::1")  # what `localhost` means, in the order in which they are tried
_EXCERPT = 200  # bytes of a refusal that are kept for people
_CR, _LF = 13, 10


def base_url(url: str) -> str:
    """Without a trailing slash."""
    scheme, _, rest = url.partition("://")
    if scheme not in {"http", "https"} or rest[:1] in {"", "/"}:
        raise SettingError(f"url={url!r}: expected http://HOST[:PORT] or https://HOST[:PORT]")
    return f"{scheme}://{rest.rstrip('/')}"


def outcome_of_status(status: int) -> Outcome:
    """What an HTTP status makes of an attempt, before its body is looked at.

    200 is ok, and so is 202 for what is answered later. 429 and 503 mean "not now"; 408 is the server's own time-out
    (RFC 9110); every other 5xx is the server's error, and all else, redirects and other 2xx included, means that the
    caller asked for the wrong thing.
    """
    if status in ANSWERED:
        return Outcome.ok
    if status in {429, 503}:
        return Outcome.rejected
    if status == 408:
        return Outcome.timed_out
    return Outcome.server_error if 500 <= status <= 599 else Outcome.client_error


def refuse(response: Response, status: int, headers: Mapping[str, str], body: bytes, now_unix_s: float) -> None:
    """Fill in what a status other than 200 tells; `headers` finds its keys whatever their case."""
    response.outcome = outcome_of_status(status)
    response.retry_after_s = retry_after_s(headers, now_unix_s)
    response.error = f"HTTP {status}: {_redirect(status, headers)}{body[:_EXCERPT].decode(errors='replace')}"


def _redirect(status: int, headers: Mapping[str, str]) -> str:
    """Where a redirect points to, without what may be secret in it; redirects are not followed."""
    location = headers.get("Location", "") if 300 <= status <= 399 else ""
    if not location:
        return ""
    place = re.sub(r"//[^/?#]*@", "//", re.split("[?#]", location)[0])[:_EXCERPT]
    return f"a redirect to {place!r}, which is not followed; if that is the server that is meant, name it. "


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    text: str | None = None


class _Event(msgspec.Struct):
    text: str | None = None
    choices: list[_Choice] | None = None
    done: bool = False


_event = msgspec.json.Decoder(_Event)


def is_content(payload: bytes) -> bool:
    """This payload brings a piece of the answer: not the end mark, a role, a finish reason or the token counts.

    Only such events count for the time to the first token and between tokens. What is not understood counts.
    """
    if payload == DONE:
        return False
    try:
        event = _event.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True
    if event.choices is None:
        return bool(event.text) if event.text is not None else not event.done
    return any(
        choice.text or (choice.delta and (choice.delta.content or choice.delta.reasoning_content))
        for choice in event.choices
    )


def is_end(payload: bytes) -> bool:
    """This payload is the last of its stream: the protocol says so, whatever the connection does after it."""
    if payload == DONE:
        return True
    if b'"done"' not in payload:
        return False
    try:
        return _event.decode(payload).done
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


class SseSplitter:
    """Server-sent events, fed in chunks of any size, to their `data:` payloads (WHATWG HTML, section 9.2.6).

    Lines end in LF, CR LF or CR; comments and fields other than `data` are skipped; several `data` lines of an event
    are joined by LF. Feeding is linear in the bytes fed, however small the chunks.
    """

    __slots__ = ("_begun", "_data", "_lines", "_skip_lf", "_tail")

    def __init__(self) -> None:
        self._tail: list[bytes] = []  # pieces of the line that has not ended
        self._data: list[bytes] = []  # `data` lines of the event that has not ended
        self._skip_lf = False  # the last chunk ended in CR: a LF at the start of the next belongs to it
        self._begun = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The payloads that this chunk completes."""
        if not self._begun and (chunk := self._without_mark(chunk)) == b"":
            return []
        if not chunk:
            return []
        if self._skip_lf and chunk[0] == _LF:
            chunk = chunk[1:]
            if not chunk:
                self._skip_lf = False
                return []
        self._skip_lf = chunk[-1] == _CR
        if b"\n" not in chunk and b"\r" not in chunk:
            self._tail.append(chunk)
            return []
        if self._tail:
            chunk = b"".join([*self._tail, chunk])
        lines = chunk.splitlines()
        self._tail = [] if chunk[-1] in (_CR, _LF) else [lines.pop()]
        return self._payloads(lines)

    def _payloads(self, lines: list[bytes]) -> list[bytes]:
        payloads, data = [], self._data
        for line in lines:
            if line.startswith(b"data:"):
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line == b"data":
                data.append(b"")
            elif not line and data:
                payloads.append(data[0] if len(data) == 1 else b"\n".join(data))
                data.clear()
        return payloads

    def _without_mark(self, chunk: bytes) -> bytes:
        """Take the byte order mark off the start of the stream; empty until there is enough to tell."""
        chunk = b"".join([*self._tail, chunk])
        self._tail = []
        if len(chunk) < 3 and b"\xef\xbb\xbf".startswith(chunk):
            self._tail = [chunk]
            return b""
        self._begun = True
        return chunk.removeprefix(b"\xef\xbb\xbf")

    def close(self) -> None:
        """The stream is over; raises BadResponse if it broke off inside an event."""
        if self._data or any(self._tail):
            raise BadResponse("the event stream broke off inside an event")

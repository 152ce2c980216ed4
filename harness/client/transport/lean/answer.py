"""The answer that is being read on a connection: what the parser reports of it, and its headers.

Rules of this file
  1. The parser (llhttp) alone decides where an answer ends. What it cannot say, because it has no end of file, is in
     `_ends_with_connection`: a body without a length and without chunks ends with the connection.
  2. `in_step` becomes False as soon as the end of the answer is not certain, or bytes come after it.
  3. This is the hot path: no object for a plain answer but its headers, and few calls.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness.client.errors import BadResponse
from harness.client.transport.answer_reader import (
    BODILESS,
    HEADERS_MAX,
    INFORMATIONAL_MAX,
    LINE_MAX,
    TOO_MANY_INFORMATIONAL,
)
from harness.client.transport.encodings import decoder
from harness.client.transport.lean.body import EventBody, WholeBody, refused_text

HEAD_MIN = 12  # bytes of the shortest head; blank lines may come before it
SWITCHING = 101
NO_BODY = BODILESS | {SWITCHING}
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")


class AnswerHeaders(Mapping[str, str]):
    """Names in lower case to values; lookups ignore the case. Of a name that came twice, the first value counts.

    Args:
        head: The status line and the lines of the headers, which the parser has accepted.
    """

    __slots__ = ("_head", "_read")

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._read: dict[str, str] | None = None

    def _all(self) -> dict[str, str]:
        found = self._read
        if found is None:
            found = self._read = {}
            for line in self._head.lstrip(b"\r\n").split(b"\n")[1:]:
                name, _, value = line.partition(b":")
                if name:
                    found.setdefault(_text(name).lower(), _text(value))
        return found

    def __getitem__(self, name: str) -> str:
        return self._all()[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return f"AnswerHeaders({self._all()})"


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape").strip(" \t\r")


def head_of(data: bytes, skipped: int) -> bytes:
    """The lines of the head in these bytes, after so many informational ones. Lines may end with LF alone.

    Blank lines may come before each head: the parser accepts them.
    """
    data = data.lstrip(b"\r\n")
    for _ in range(skipped):
        found = _BLANK_LINE.search(data)
        data = data if found is None else data[found.end() :].lstrip(b"\r\n")
    end = data.find(b"\r\n\r\n")
    head = data[:end]
    if end >= 0 and head.find(b"\n\n") < 0 and head.find(b"\n\r\n") < 0:
        return head
    found = _BLANK_LINE.search(data)
    return data if found is None else data[: found.start()]


class Answer:
    """One answer after another, as the callbacks of the parser tell it."""

    __slots__ = (
        "_at",
        "_begun",
        "_finished",
        "_informational",
        "_known",
        "_known_headers",
        "_known_timing",
        "_lenient",
        "_parser",
        "_pieces",
        "_quiet",
        "_request",
        "_response",
        "_resting",
        "_status",
        "body",
        "events",
        "in_step",
        "is_plain",
        "whole",
    )

    def __init__(self) -> None:
        self._parser: Any = None
        self._request: Any = None
        self._response: Any = None
        # The instant at which the last bytes came, below 0 before the first.
        self._at = -1.0
        # Bytes of a head that is not complete.
        self._begun = b""
        # The last head of a plain answer, with what was read in it: many servers send the same one again.
        self._known = b""
        self._known_headers: AnswerHeaders | None = None
        self._known_timing: str | None = None
        # Bytes since the last byte of a body.
        self._quiet = 0
        # Whether lines may end with LF alone.
        self._lenient = False
        # Whether the stream is over and its end was reported.
        self._resting = False
        self._finished = self.is_plain = True
        self._informational = self._status = 0
        self.in_step = True
        # The body: plain bytes in one piece, events of a stream, or pieces.
        self.body = b""
        self.events: EventBody | None = None
        # Pieces of a stream that came together.
        self._pieces: list[bytes] = []
        self.whole: WholeBody | None = None

    @property
    def is_unfinished(self) -> bool:
        """Whether the stream of an answer is over, but not its body."""
        return not self._finished and self.events is not None and not self.events.is_stopped

    def on_message_begin(self) -> None:
        """An answer begins. If it is not the first one, bytes came after the answer."""
        if self._finished:
            self.in_step = False

    def on_headers_complete(self) -> None:
        """A head is there."""
        if self._finished:
            return
        status: int = self._parser.get_status_code()
        if status < 200 and status != SWITCHING:
            self._count_informational(status)
            return
        data, self._begun = self._begun, b""
        end = data.find(b"\r\n\r\n")
        if self._lenient or self._informational or end < HEAD_MIN:
            head, self._informational = head_of(data, self._informational), 0
        else:
            head = data[:end]
        request, response = self._request, self._response
        self._status = response.status = status
        response.first_byte = self._at
        if request.progress is not None and not request.stream and status in request.answered:
            request.progress.first_byte = self._at
        if head == self._known and not request.stream and request.method != "HEAD":
            response.headers, response.server_timing = self._known_headers, self._known_timing
        else:
            self._read_head(head)

    def _read_head(self, head: bytes) -> None:
        """A head that is not the same as the last one."""
        request, response, status = self._request, self._response, self._status
        if head[:7] != b"HTTP/1.":
            # Mostly it is a blank line that came before the head.
            self._check_version()
        response.headers = headers = AnswerHeaders(head)
        lower = head.lower()
        # `in` costs twice as much: it tries a number first.
        if lower.find(b"\nserver-timing:") >= 0:
            response.server_timing = headers["server-timing"]
        if len(head) > HEADERS_MAX:
            _check_size(head)
        if status in NO_BODY:
            self._finished, self.in_step = True, False
        elif request.method == "HEAD":
            # The parser would wait for a body.
            self._finished, self.in_step = True, self.in_step and self._parser.should_keep_alive()
        elif request.stream or lower.find(b"-encoding:") >= 0:
            self._open_body(headers)
        else:
            self._known, self._known_headers, self._known_timing = head, headers, response.server_timing

    def _count_informational(self, status: int) -> None:
        """A head that is not the answer yet."""
        if status < 100:
            raise BadResponse(f"an answer with the status {status:03}; a status is at least 100")
        self._informational += 1
        if self._informational > INFORMATIONAL_MAX:
            raise BadResponse(TOO_MANY_INFORMATIONAL)

    def on_body(self, piece: bytes) -> None:
        """Bytes of a body."""
        if self._finished:
            self.in_step = False
            return
        self._quiet = 0
        if self.is_plain and not self.body:
            self.body = piece
        elif self.events is not None:
            # A segment may hold many chunks: they are split into events together.
            self._pieces.append(piece)
        else:
            self._collect(piece)

    def on_message_complete(self) -> None:
        """An answer is complete; the informational ones are not the answer."""
        if self._finished or not self._status:
            return
        if not self._parser.should_keep_alive():
            self.in_step = False
        self._finished = True

    @property
    def _stream_is_over(self) -> bool:
        return self.events is not None and self.events.is_over and not self._resting

    @property
    def _ends_with_connection(self) -> bool:
        """Whether the end of the connection is the end of the answer, whose head is there."""
        headers = self._response.headers
        if not self._status or headers is None:
            return False
        return "content-length" not in headers and "transfer-encoding" not in headers

    def _check_version(self) -> None:
        """Raise BadResponse for a version with other rules; the parser accepts 0.9 and 2.0."""
        if not self._parser.get_http_version().startswith("1."):
            raise BadResponse(f"an answer of HTTP/{self._parser.get_http_version()}")

    def _open_body(self, headers: AnswerHeaders) -> None:
        """A body that is streamed or encoded."""
        framing = headers.get("transfer-encoding", "chunked")
        if framing.lower() != "chunked":
            raise BadResponse(f"Transfer-Encoding {framing[:40]!r} is not supported")
        try:
            decode = decoder(headers.get("content-encoding"))
        except BadResponse as error:
            if self._is_answer:
                raise
            self._give_up_refusal(error)
            return
        if self._request.stream and self._is_answer:
            self.is_plain = False
            self.events = EventBody(self._request, decode)
        elif decode is not None:
            self.is_plain = False
            self.whole = WholeBody(decode)

    def _collect(self, piece: bytes) -> None:
        """A further piece of a body."""
        try:
            if self.whole is None:
                self.is_plain = False
                self.whole = WholeBody(None)
                self.whole.add(self.body)
            self.whole.add(piece)
        except BadResponse as error:
            if self._is_answer:
                raise
            self._give_up_refusal(error)

    def _give_up_refusal(self, error: BadResponse) -> None:
        """The body of a refusal cannot be read: its status counts all the same."""
        if self.whole is not None:
            self.whole.release()
            self.whole = None
        self.body = refused_text(error)
        self._finished, self.in_step = True, False

    @property
    def _is_answer(self) -> bool:
        return self._status in self._request.answered

    def _split(self) -> None:
        """The pieces of a stream that came together become events. Raises what the form of the events raises."""
        pieces, self._pieces = self._pieces, []
        if self.events is not None:
            self.events.add(pieces[0] if len(pieces) == 1 else b"".join(pieces), self._at)

    def _release(self) -> None:
        self._resting = False
        self._pieces = []
        if self.events is not None:
            self.events.stamp(self._response)
            self.events.release()
            self.events = None
        if self.whole is not None:
            self.whole.release()
            self.whole = None


def _check_size(head: bytes) -> None:
    """Raise BadResponse for a head with too many or too long headers."""
    if head.count(b"\n") > HEADERS_MAX:
        raise BadResponse(f"an answer with more than {HEADERS_MAX} headers")
    if len(head) > LINE_MAX and max(map(len, head.split(b"\n"))) > LINE_MAX:
        raise BadResponse(f"an answer with a header of more than {LINE_MAX} bytes")

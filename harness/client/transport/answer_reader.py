"""The reader of HTTP/1.1 answers for the blocking transport.

Rules of this file
  1. It is pure: it asks for bytes and gives a head, then a body; no clock, no socket.
  2. Informational answers (1xx) are skipped, up to INFORMATIONAL_MAX for a request.
  3. The length of an answer must be certain. Different lengths, a length beside chunks, or a chunk without its end
     make a bad response.
  4. `in_step` is True only when the last byte of an answer with a certain end was read and no byte came after it. A
     connection that is not in step must not be used again: its next bytes may answer another request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from multidict import CIMultiDict

from harness.client.errors import BadResponse

LINE_MAX = 65_536  # bytes of a line of the head
HEADERS_MAX = 1_000  # lines of headers in one head
INFORMATIONAL_MAX = 100  # answers 1xx before the final one
READ_SIZE = 65_536
TOO_MANY_INFORMATIONAL = f"more than {INFORMATIONAL_MAX} informational answers (1xx) before the final one"
BODILESS = frozenset({204, 304})  # a body after such an answer would be taken for the next answer

_STATUS = re.compile(rb"HTTP/1\.([0-9]) +([0-9]{3})(?: .*)?")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?")


class ClosedError(ConnectionError):
    """The server closed the connection properly, but before an answer was complete."""


class AnswerReader:
    """Reads answers from one connection, one after another; `receive(n)` gives up to n bytes, none at the end."""

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive
        self._data = b""
        self._at = 0
        self.heard = False  # a byte of the answer has arrived
        self.in_step = True
        self.status = 0
        self.headers: CIMultiDict[str] = CIMultiDict()
        self._keep = False
        self._left: int | None = None  # of the body, where its length is known
        self._chunked = False

    def head(self) -> None:
        """Read up to the body of the answer: `status` and `headers` are set."""
        self.heard = self.in_step = False
        for _ in range(INFORMATIONAL_MAX + 1):
            minor, self.status = self._status_line()
            self.headers = self._header_lines()
            if self.status >= 200 or self.status == 101:
                break
        else:
            raise BadResponse(TOO_MANY_INFORMATIONAL)
        connection = self.headers.get("Connection", "").lower()
        self._keep = "close" not in connection and (minor > 0 or "keep-alive" in connection)
        self._frame()

    def body(self) -> Iterator[bytes]:
        """The pieces of the body as they arrive; after the last, `in_step` holds."""
        if self._chunked:
            yield from self._chunks()
        elif self._left is None:
            while piece := self._some(READ_SIZE, ends=True):
                yield piece
        else:
            while self._left:
                piece = self._some(self._left)
                self._left -= len(piece)
                yield piece
        self.in_step = self._keep and self._at == len(self._data)

    def _status_line(self) -> tuple[int, int]:
        while not (line := self._line()):
            pass  # a line end before an answer is allowed for
        found = _STATUS.fullmatch(line)
        if found is None:
            raise BadResponse(f"an answer that is not HTTP/1.x: it begins with {line[:80]!r}")
        return int(found[1]), int(found[2])

    def _header_lines(self) -> CIMultiDict[str]:
        lines: list[bytes] = []
        while line := self._line():
            if line[:1] in b" \t" and lines:
                lines[-1] += b" " + line.strip(b" \t")
            else:
                lines.append(line)
            if len(lines) > HEADERS_MAX:
                raise BadResponse(f"an answer with more than {HEADERS_MAX} headers")
        headers: CIMultiDict[str] = CIMultiDict()
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon or not _NAME.fullmatch(name) or b"\0" in value:
                raise BadResponse(f"an answer with a bad header: {line[:80]!r}")
            headers.add(name.decode("ascii"), value.strip(b" \t").decode("utf-8", "surrogateescape"))
        return headers

    def _frame(self) -> None:
        """How the body ends (RFC 9112, section 6.3)."""
        codings = ",".join(self.headers.getall("Transfer-Encoding", ())).lower().replace(" ", "")
        lengths = self.headers.getall("Content-Length", ())
        self._chunked, self._left = False, None
        if self.status in BODILESS or self.status < 200:
            self._keep, self._left = False, 0
        elif codings:
            if codings != "chunked" or lengths:
                raise BadResponse(f"Transfer-Encoding {codings[:40]!r} beside {len(lengths)} Content-Length")
            self._chunked = True
        elif lengths:
            if len(lengths) > 1 or not (lengths[0].isascii() and lengths[0].isdigit()):
                raise BadResponse(f"Content-Length is {', '.join(lengths)[:80]!r}; expected one number")
            self._left = int(lengths[0])
        else:
            self._keep = False

    def _chunks(self) -> Iterator[bytes]:
        while left := self._chunk_size():
            while left:
                piece = self._some(left)
                left -= len(piece)
                yield piece
            if self._line():
                raise BadResponse("a chunk that is longer than it says")
        for _ in range(HEADERS_MAX):
            if not self._line():  # the end of the trailers
                return
        raise BadResponse(f"an answer with more than {HEADERS_MAX} trailers")

    def _chunk_size(self) -> int:
        line = self._line()
        found = _SIZE.fullmatch(line)
        if found is None:
            raise BadResponse(f"a chunk whose size is {line[:40]!r}")
        return int(found[1], 16)

    def _line(self) -> bytes:
        """The next line without its end; lines may end with LF alone."""
        while (end := self._data.find(b"\n", self._at)) < 0 and len(self._data) - self._at <= LINE_MAX:
            self._fill()
        if not 0 <= end - self._at <= LINE_MAX:
            raise BadResponse(f"an answer with a header of more than {LINE_MAX} bytes")
        line = self._data[self._at : end]
        self._at = end + 1
        return line.removesuffix(b"\r")

    def _some(self, most: int, *, ends: bool = False) -> bytes:
        """At least one byte and up to `most`; none where the end of the connection is the end of the body."""
        if self._at == len(self._data) and not self._fill(ends):
            return b""
        piece = self._data[self._at : self._at + most]
        self._at += len(piece)
        return piece

    def _fill(self, ends: bool = False) -> bool:
        """Wait for bytes; raises ClosedError at an end that comes too early."""
        chunk = self._receive(READ_SIZE)
        if not chunk:
            if ends:
                return False
            where = "inside" if self.heard else "before"
            raise ClosedError(f"the server closed the connection {where} its answer")
        self.heard = True
        self._data = self._data[self._at :] + chunk
        self._at = 0
        return True

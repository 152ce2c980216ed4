"""Splits chunks of bytes into lines and decompresses gzip and Zstandard. Chunks may have any size.

Rules of this file
  1. Compression is detected by the first bytes and never by the file name, because a pipe has no name.
  2. Memory is bounded: of a line longer than `LINE_MAX` only the beginning and the position are kept. A line that this
     program has written around a row may be longer, by as much as JSON can lengthen a row.
  3. A UTF-8 byte order mark at the beginning is removed; UTF-16 and UTF-32 are refused by name.
"""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from harness.base.files import SETTINGS_BYTES_MAX, chunks_of
from harness.client.errors import UsageError

# Bytes. A longer line counts as malformed, so that it cannot fill the memory.
LINE_MAX = 8 * 1024 * 1024
# Bytes of a line that holds a row and more: JSON writes a control character in six bytes.
OWN_LINE_MAX = 8 * LINE_MAX
# The beginning of a dead letter, which may be read as input.
_LETTER = b'{"dead_letter":'
# Bytes that are kept of a longer line.
HEAD_BYTES = 4096
BOM = b"\xef\xbb\xbf"
READ_BYTES = 256 * 1024
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# Maximum size of one decompressed piece: a small file may expand to gigabytes.
PIECE = 1 << 20
# Maximum compressed input for one call: the Zstandard library limits only the size of the input.
ZSTD_PIECE = 4096


class LongLine(NamedTuple):
    """A line of more than `LINE_MAX` bytes: its beginning, and its range of bytes in the decompressed input."""

    head: bytes
    begin: int
    end: int


_UTF16 = ([True, False, True, False], [False, True, False, True])
"""Which bytes of two ASCII characters are not zero, in both byte orders."""


def check_encoding(head: bytes) -> None:
    """Raise UsageError if a text begins as UTF-16 or UTF-32 do."""
    if head.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")) or head[:4].count(0) == 3:
        found = "UTF-32"
    elif head.startswith((b"\xff\xfe", b"\xfe\xff")) or [bool(byte) for byte in head[:4]] in _UTF16:
        found = "UTF-16"
    else:
        return
    raise UsageError(
        f"is not UTF-8 but {found}; convert it with `iconv -f {found} -t UTF-8`. Allowed is UTF-8, with or without a "
        f"byte order mark, also packed with gzip or Zstandard; --encoding {found.lower()} reads items as they are"
    )


def zstandard() -> Any:
    """Import the Zstandard library. Raises UsageError with the install command if it is missing."""
    try:
        import zstandard as library
    except ImportError:
        raise UsageError('Zstandard needs the package zstandard: pip install "paceline[zst]"') from None
    return library


def is_packed(head: bytes) -> bool:
    """Whether the data begins with the magic bytes of gzip or Zstandard."""
    return head.startswith((GZIP, ZSTD))


class Unpack:
    """Decompresses gzip (any number of members) and Zstandard (any number of frames); passes plain bytes through."""

    def __init__(self, encoding: str | None = None) -> None:
        self._head = b""
        self._kind: str | None = None
        self._stream: Any = None
        self._at_start = encoding is None
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)() if encoding else None

    def plainly(self) -> None:
        """Skip detection: the input continues in the middle of uncompressed data."""
        self._kind = "plain"
        self._at_start = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Decompress a chunk, in pieces. Raises UsageError if the data is damaged, or is no UTF-8 by its beginning."""
        for piece in self._decompressed(chunk):
            if self._at_start and piece:
                check_encoding(piece)
                self._at_start = False
            yield piece if self._decoder is None else self._recoded(piece)

    def _recoded(self, piece: bytes, final: bool = False) -> bytes:
        """The piece in UTF-8."""
        assert self._decoder is not None  # noqa: S101 - the caller checked it
        try:
            return self._decoder.decode(piece, final).encode()
        except UnicodeError as error:
            reason = getattr(error, "reason", error)
            raise UsageError(f"is not {self._encoding}, as --encoding says: {reason}") from None

    def _decompressed(self, chunk: bytes) -> Iterator[bytes]:
        if self._kind is None:
            self._head += chunk
            if len(self._head) < 4 and (GZIP.startswith(self._head[:2]) or ZSTD.startswith(self._head)):
                return
            chunk, self._head = self._head, b""
            self._kind = "gzip" if chunk.startswith(GZIP) else "zstd" if chunk.startswith(ZSTD) else "plain"
        if self._kind == "plain":
            yield chunk
        elif self._kind == "gzip":
            yield from self._gzip(chunk)
        else:
            yield from self._zstd(chunk)

    def close(self) -> bytes:
        """Return the remaining bytes. Raises UsageError if the compressed data is incomplete."""
        if self._stream is not None:
            raise UsageError(f"the input breaks off in the middle of its {self._kind} data")
        head, self._head = self._head, b""
        return head if self._decoder is None else self._recoded(head, final=True)

    def _gzip(self, chunk: bytes) -> Iterator[bytes]:
        try:
            while chunk:
                if self._stream is None:
                    # Padding between members is allowed.
                    chunk = chunk.lstrip(b"\0")
                    if not chunk:
                        return
                    self._stream = zlib.decompressobj(wbits=31)
                yield self._stream.decompress(chunk, PIECE)
                chunk = self._stream.unconsumed_tail
                if self._stream.eof:
                    chunk, self._stream = self._stream.unused_data, None
                elif not chunk:
                    while piece := self._stream.decompress(b"", PIECE):
                        yield piece
        except zlib.error as error:
            raise UsageError(f"the input's gzip data is damaged: {error}") from error

    def _zstd(self, chunk: bytes) -> Iterator[bytes]:
        library = zstandard()
        try:
            for start in range(0, len(chunk), ZSTD_PIECE):
                piece = chunk[start : start + ZSTD_PIECE]
                while piece:
                    if self._stream is None:
                        self._stream = library.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
                    yield self._stream.decompress(piece)
                    piece = b""
                    if self._stream.eof:
                        piece, self._stream = self._stream.unused_data, None
        except library.ZstdError as error:
            raise UsageError(f"the input's Zstandard data is damaged: {error}") from error


class Lines:
    """Splits bytes at LF. Lines come without their line break. `own`: all lines were written by this program."""

    def __init__(self, at: int = 0, own: bool = False) -> None:
        self._own = own
        self._tail: list[bytes] = []
        # The current line is too long to be kept.
        self._skipping = False
        # Start of the current line, and its bytes so far.
        self._begin = at
        self._size = 0

    @property
    def unfinished(self) -> int:
        """Bytes after the last line break."""
        return self._size

    def feed(self, chunk: bytes) -> list[bytes | LongLine]:
        """The lines that this chunk completes."""
        *ended, rest = chunk.split(b"\n")
        found: list[bytes | LongLine] = list(ended)
        if ended:
            found[0] = self._whole(ended[0])
            # Lines after the first one lie within the chunk.
            if len(chunk) > LINE_MAX:
                found[1:] = map(self._whole, ended[1:])
            else:
                self._begin += sum(map(len, ended[1:])) + len(ended) - 1
        self._keep(rest)
        return found

    def close(self) -> list[bytes | LongLine]:
        """The last line, if it has no line break."""
        return [self._whole(b"")] if self._size else []

    def _whole(self, end: bytes) -> bytes | LongLine:
        """The current line with its last bytes; the next one begins."""
        size, begin = self._size + len(end), self._begin
        line = b"".join([*self._tail, end]) if self._tail else end
        self._tail, self._size, self._begin, self._skipping = [], 0, begin + size + 1, False
        if size <= LINE_MAX or size <= self._most(line):
            return line
        return LongLine(line[:HEAD_BYTES], begin, begin + size)

    def _most(self, begin: bytes) -> int:
        """The most bytes of a line with this beginning."""
        return OWN_LINE_MAX if self._own or begin.startswith(_LETTER) else LINE_MAX

    def _beginning(self) -> bytes:
        """The first bytes of the current line, which may have come in several pieces."""
        begin = b""
        for piece in self._tail:
            begin += piece[: len(_LETTER)]
            if len(begin) >= len(_LETTER):
                break
        return begin

    def _keep(self, rest: bytes) -> None:
        if not rest:
            return
        self._size += len(rest)
        if not self._skipping:
            self._tail.append(rest)
            if self._size > LINE_MAX and self._size > self._most(self._beginning()):
                self._tail, self._skipping = [b"".join(self._tail)[:HEAD_BYTES]], True


class Splitter(Protocol):
    """Cuts bytes into rows."""

    @property
    def unfinished(self) -> int:
        """Bytes after the last complete row."""

    def feed(self, chunk: bytes) -> list[bytes | LongLine]:
        """The rows that this chunk completes."""
        ...

    def close(self) -> list[bytes | LongLine]:
        """The last row, if it has no line break."""
        ...


def lines_of(path: Path, encoding: str | None = None, own: bool = False) -> Iterator[bytes | LongLine]:
    """The lines of a file without line breaks. Raises UsageError if it cannot be read or decompressed.

    `own`: this program has written the file.
    """
    return split(pieces_of(path, encoding), Lines(own=own))


def split(pieces: Iterable[bytes], splitter: Splitter) -> Iterator[bytes | LongLine]:
    """The rows of a text in pieces."""
    return chain.from_iterable(_split(pieces, splitter))


def _split(pieces: Iterable[bytes], splitter: Splitter) -> Iterator[list[bytes | LongLine]]:
    """The rows that each piece completes, together: a step of this generator for each row would slow the reading."""
    first = True
    for piece in pieces:
        rows = splitter.feed(piece)
        if first and rows:
            rows[0], first = _unmarked(rows[0]), False
        yield rows
    rows = splitter.close()
    yield [_unmarked(rows[0]), *rows[1:]] if first and rows else rows


def _unmarked(row: bytes | LongLine) -> bytes | LongLine:
    """The first row without a byte order mark."""
    return row.removeprefix(BOM) if isinstance(row, bytes) else row


def text_of(path: Path, bytes_max: int = SETTINGS_BYTES_MAX) -> str:
    """A whole file as text. Raises UsageError if it cannot be read or decompressed, is too large or not UTF-8."""
    data = bytearray()
    for piece in pieces_of(path):
        data += piece
        if len(data) > bytes_max:
            raise UsageError(f"{path}: has more than {bytes_max:,} bytes")
    try:
        return data.removeprefix(BOM).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8: {error}") from error


def count_lines(path: Path, at_most_bytes: int = 256 * 1024 * 1024) -> int:
    """Number of lines of a file, for progress only. Beyond `at_most_bytes` it is extrapolated from the beginning."""
    size, unpack = path.stat().st_size, Unpack()
    read = seen = lines = 0
    last = b"\n"
    with path.open("rb") as file:
        while seen < at_most_bytes and (chunk := file.read(READ_BYTES)):
            read += len(chunk)
            for piece in (*unpack.feed(chunk), unpack.close() if read >= size else b""):
                seen += len(piece)
                lines += piece.count(b"\n")
                last = piece[-1:] or last
    lines += last != b"\n"
    return lines if read >= size else round(lines * size / read)


def pieces_of(path: Path, encoding: str | None = None) -> Iterator[bytes]:
    """The decompressed file in pieces of any size, in UTF-8 if its encoding is given."""
    unpack = Unpack(encoding)
    try:
        for chunk in chunks_of(path, READ_BYTES):
            yield from unpack.feed(chunk)
        yield unpack.close()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error

"""Splits chunks of bytes into lines and decompresses gzip and Zstandard. Chunks may have any size.

Rules of this file
  1. Compression is detected by the first bytes and never by the file name, because a pipe has no name.
  2. Memory is bounded: a line longer than `LINE_MAX` is skipped and reported as None.
  3. A UTF-8 byte order mark at the beginning is removed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.client.errors import UsageError

# Bytes. A longer line counts as malformed, so that it cannot fill the memory.
LINE_MAX = 8 * 1024 * 1024
BOM = b"\xef\xbb\xbf"
READ_BYTES = 256 * 1024
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# Maximum size of one decompressed piece: a small file may expand to gigabytes.
PIECE = 1 << 20
# Maximum compressed input for one call: the Zstandard library limits only the size of the input.
ZSTD_PIECE = 4096


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

    def __init__(self) -> None:
        self._head = b""
        self._kind: str | None = None
        self._stream: Any = None

    def plainly(self) -> None:
        """Skip detection: the input continues in the middle of uncompressed data."""
        self._kind = "plain"

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Decompress a chunk, in pieces. Raises UsageError if the data is damaged."""
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
        return head

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
    """Splits bytes at LF. Lines come without their line break; None stands for a line that is too long."""

    def __init__(self) -> None:
        self._tail: list[bytes] = []
        self._size = 0
        self._skipping = False

    def feed(self, chunk: bytes) -> list[bytes | None]:
        """The lines that this chunk completes."""
        *ended, rest = chunk.split(b"\n")
        found: list[bytes | None] = list(ended)
        if ended:
            found[0] = self._whole(ended[0])
            found[1:] = [line if len(line) <= LINE_MAX else None for line in ended[1:]]
            self._size = 0
        self._keep(rest)
        return found

    def close(self) -> list[bytes | None]:
        """The last line, if it has no line break."""
        unfinished = self._size > 0 or self._skipping
        return [self._whole(b"")] if unfinished else []

    def _whole(self, end: bytes) -> bytes | None:
        line = b"".join([*self._tail, end]) if self._tail else end
        skipped, self._tail, self._skipping = self._skipping, [], False
        return None if skipped or len(line) > LINE_MAX else line

    def _keep(self, rest: bytes) -> None:
        self._size += len(rest)
        if self._size > LINE_MAX:
            self._tail, self._skipping = [], True
        elif rest:
            self._tail.append(rest)


def lines_of(path: Path) -> Iterator[bytes | None]:
    """The lines of a file without line breaks. Raises UsageError if it cannot be read or decompressed."""
    splitter, first = Lines(), True
    for piece in _pieces(path):
        for line in splitter.feed(piece):
            yield line.removeprefix(BOM) if first and line is not None else line
            first = False
    for line in splitter.close():
        yield line.removeprefix(BOM) if first and line is not None else line


def text_of(path: Path) -> str:
    """A whole file as text. Raises UsageError if it cannot be read or decompressed, or is not UTF-8."""
    data = b"".join(_pieces(path))
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


def _pieces(path: Path) -> Iterator[bytes]:
    """The decompressed file in pieces of any size."""
    unpack = Unpack()
    try:
        with path.open("rb") as file:
            while chunk := file.read(READ_BYTES):
                yield from unpack.feed(chunk)
        yield unpack.close()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error

"""Decodes bodies that a server compresses despite `Accept-Encoding: identity`; refuses unknown encodings by name."""

from __future__ import annotations

import zlib

from harness.client.errors import BadResponse
from harness.client.transport.held_bytes import Held

PIECE = 256 * 1024  # bytes decoded at a time, so that a decompression bomb is detected early
_AUTO = 47  # zlib's number for gzip or zlib, by the header of the data
_KNOWN = frozenset({"gzip", "x-gzip", "deflate"})


class Decoder:
    """One body with a `Content-Encoding`, decoded as its bytes arrive."""

    __slots__ = ("_begun", "_coding", "_inflate")

    def __init__(self, coding: str) -> None:
        self._coding = coding.strip().lower()
        if self._coding not in _KNOWN:
            raise BadResponse(
                f"the body is encoded with {coding[:40]!r} although `Accept-Encoding: identity` was sent; "
                "only gzip and deflate are decoded"
            )
        self._inflate = zlib.decompressobj(_AUTO)
        self._begun = False

    def feed(self, data: bytes, held: Held) -> bytes:
        """Decode bytes; raises BadResponse if they are damaged or the result is too large."""
        pieces: list[bytes] = []
        while data:
            self._begun = True
            data = self._one(data, pieces, held)
        return b"".join(pieces)

    def _one(self, data: bytes, pieces: list[bytes], held: Held) -> bytes:
        """Decode a member of the data, or the part of it that is there; the bytes after it."""
        piece = None
        while piece is None or data or len(piece) == PIECE:
            try:
                piece = self._inflate.decompress(data, PIECE)
            except zlib.error as error:
                raise BadResponse(f"a body that is not {self._coding}, though it says so: {error}") from error
            held.add(len(piece))
            pieces.append(piece)
            if self._inflate.eof:
                rest = self._inflate.unused_data.lstrip(b"\0")
                if rest:
                    self._inflate = zlib.decompressobj(_AUTO)
                return rest
            data = self._inflate.unconsumed_tail
        return b""

    def close(self) -> None:
        """The body is over; raises BadResponse if it broke off."""
        if self._begun and not self._inflate.eof:
            raise BadResponse(f"a body in {self._coding} that broke off before its end")


def decoder(coding: str | None) -> Decoder | None:
    """The decoder for this `Content-Encoding`; None if the body is not encoded."""
    if not coding or coding.strip().lower() in {"", "identity"}:
        return None
    return Decoder(coding)

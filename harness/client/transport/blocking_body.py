"""The body of an answer as the blocking transport reads it: piece by piece, or whole."""

from __future__ import annotations

import time
from collections.abc import Iterator

from harness.client.transport.answer_reader import AnswerReader
from harness.client.transport.encodings import decoder
from harness.client.transport.held_bytes import Held


def whole(reader: AnswerReader, held: Held) -> bytes:
    """The whole body, decoded."""
    body = bytearray()
    # Not a list: an object for each small piece costs much more than its bytes.
    for piece, _ in pieces(reader, held):
        body += piece
    return bytes(body)


def pieces(reader: AnswerReader, held: Held) -> Iterator[tuple[bytes, float]]:
    """The body as it arrives, decoded, each piece with its instant; raises if it is cut short, late or too long."""
    decode = decoder(reader.headers.get("Content-Encoding"))
    for piece in reader.body():
        at = time.monotonic()
        if decode is None:
            held.add(len(piece))
            yield piece, at
        else:
            yield decode.feed(piece, held), at
    if decode is not None:
        decode.close()

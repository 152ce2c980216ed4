"""Messages in a stream of bytes: each with its length before it."""

from __future__ import annotations

import asyncio
import struct

_LENGTH = struct.Struct(">I")


def framed(data: bytes) -> bytes:
    """A message with its length."""
    return _LENGTH.pack(len(data)) + data


async def read_frame(stream: asyncio.StreamReader) -> bytes | None:
    """The next message; None at the end of the stream, also in the middle of a message."""
    try:
        (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
        return await stream.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None

"""Frames of record files: each flush writes one frame, whose checksum makes damage detectable.

A frame is a head of the size of one row, then the rows. The head contains a marker, the number of rows, their CRC-32,
the frame's number in the file, and the CRC-32 of the head. Because heads and rows have one size, rows stay aligned.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

MARK = b"\x8fPLF"
_HEAD = struct.Struct("<4sIII")  # mark, rows, CRC-32 of the rows, place
_CHECK = struct.Struct("<I")  # CRC-32 of the head
_CHECKED = _HEAD.size

Bytes = memoryview | bytes | bytearray


def fill_head(buffer: bytearray, row_bytes: int, end: int, place: int) -> None:
    """Write the head into the first `row_bytes` of a buffer whose rows reach up to `end`."""
    with memoryview(buffer) as view:
        _HEAD.pack_into(buffer, 0, MARK, end // row_bytes - 1, zlib.crc32(view[row_bytes:end]), place)
        _CHECK.pack_into(buffer, _CHECKED, zlib.crc32(view[:_CHECKED]))


def frame(rows: Bytes, row_bytes: int, place: int = 0) -> bytes:
    """Rows as one frame."""
    buffer = bytearray(row_bytes)
    buffer += rows
    fill_head(buffer, row_bytes, len(buffer), place)
    return bytes(buffer)


class Found(NamedTuple):
    """A frame, or a row's length without a sound head."""

    begin: int  # of the rows, in bytes
    end: int
    rows: Bytes | None  # None if they are damaged
    sound: bool  # whether they are whole and no frame before them is missing


def walk(read: Callable[[int, int], Bytes], size: int, row_bytes: int) -> Iterator[Found]:
    """The frames of a body of `size` bytes one by one; `read` gives the bytes at a place.

    The last frame may be incomplete (`kill -9`, a full disk). It is left out and does not count as damage. After a
    damaged head, the search continues at the next sound head.
    """
    place, at = 0, 0
    while at + row_bytes <= size:
        head = _head(read(at, row_bytes))
        if head is None:
            at += row_bytes
            yield Found(at, at, None, False)
            continue
        count, checksum, number = head
        begin, end = at + row_bytes, at + row_bytes * (count + 1)
        if end > size:
            break
        rows = read(begin, end - begin)
        as_written = zlib.crc32(rows) == checksum
        yield Found(begin, end, rows if as_written else None, as_written and number == place)
        place, at = number + 1, end


def _head(head: Bytes) -> tuple[int, int, int] | None:
    """Number of rows, checksum and frame number; None if there is no sound head."""
    mark, rows, checksum, place = _HEAD.unpack_from(head)
    (check,) = _CHECK.unpack_from(head, _CHECKED)
    if mark != MARK or check != zlib.crc32(head[:_CHECKED]):
        return None
    return rows, checksum, place

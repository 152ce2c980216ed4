"""Small JSON files with a checksum as their last key, which detects any later change."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from harness.base.files import write_atomically
from harness.measure import json_files

T = TypeVar("T")
_KEY = b',\n  "crc32": "'


class DamagedError(ValueError):
    """The file is not as it was written."""


def seal(value: Any) -> bytes:
    """A struct as indented JSON; its last key is the CRC-32 of all bytes before it."""
    # The body has no final line break and brace.
    body = msgspec.json.format(msgspec.json.encode(value))[:-2]
    return body + _tail(body)


def _tail(body: bytes) -> bytes:
    return _KEY + b'%08x"\n}\n' % zlib.crc32(body)


def write_sealed(path: Path, value: Any) -> None:
    """Write the file atomically. Raises OSError."""
    write_atomically(path, seal(value))


def read_sealed(path: Path, kind: type[T]) -> T:
    """Read and verify the file. Raises OSError, and DamagedError if it was changed."""
    data = path.read_bytes()
    body = data[: data.rfind(_KEY)]
    if _KEY not in data or data != body + _tail(body):
        raise DamagedError("its checksum does not match its content")
    try:
        return json_files.decode(data, kind)
    except msgspec.MsgspecError as error:
        raise DamagedError(str(error)) from error


def read_if_whole(path: Path, kind: type[T], damaged: list[str]) -> T | None:
    """The file; None if there is none, or if it was changed: then its name is added to `damaged`."""
    try:
        return read_sealed(path, kind)
    except DamagedError as error:
        damaged.append(f"{error} ({path.name})")
    except OSError:
        pass
    return None

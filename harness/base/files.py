"""Atomic writing of files, and reading of small ones."""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path

SETTINGS_BYTES_MAX = 4 * 1024 * 1024
"""A file of settings, such as a description of an API or a template, has no more."""


def bounded_bytes(path: Path) -> bytes:
    """A file of settings, also from a pipe. Raises OSError, and ends also for a device that never does."""
    with path.open("rb") as file:
        data = file.read(SETTINGS_BYTES_MAX + 1)
    if len(data) > SETTINGS_BYTES_MAX:
        raise OSError(errno.EFBIG, f"has more than {SETTINGS_BYTES_MAX:,} bytes", str(path))
    return data


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file atomically: readers never see a partial file, even after a crash. Raises OSError."""
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:
        # A full disk must not keep half a file.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise

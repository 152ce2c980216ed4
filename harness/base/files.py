"""Atomic writing of files."""

from __future__ import annotations

import contextlib
from pathlib import Path


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

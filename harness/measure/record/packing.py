"""Compresses files and removes them: `python packing.py FILE ...` writes FILE.gz. It needs the standard library alone.

FILE.gz appears under its name only when it is whole, and FILE is removed only after that.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import sys

LEVEL = 1
"""Higher levels take three times as long for a tenth less."""


def compress(path: str) -> None:
    """Replace a file by its compressed form. Raises OSError; then the file is left as it is.

    A file that was removed or replaced meanwhile belongs to a new recording: then nothing is changed.
    """
    # Another process may compress a new file of this name.
    part = f"{path}.gz.{os.getpid()}.part"
    try:
        with open(path, "rb") as plain:
            with gzip.open(part, "wb", LEVEL) as packed:
                shutil.copyfileobj(plain, packed, 1 << 20)
            if _is_still(path, plain.fileno()):
                os.replace(part, f"{path}.gz")
                os.unlink(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)


def _is_still(path: str, opened: int) -> bool:
    """Whether the path leads to the file that was opened."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(opened))
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    os.nice(19)
    for argument in sys.argv[1:]:
        compress(argument)

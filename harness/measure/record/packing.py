"""Compresses files and removes them: `python packing.py FILE ...` writes FILE.gz. It needs the standard library alone.

FILE.gz appears under its name only when it is whole, and FILE is removed only after that.
"""

from __future__ import annotations

import gzip
import os
import shutil
import sys

LEVEL = 1
"""Higher levels take three times as long for a tenth less."""


def compress(path: str) -> None:
    """Replace a file by its compressed form. Raises OSError; then the file is left as it is."""
    part = f"{path}.gz.part"
    try:
        with open(path, "rb") as plain, gzip.open(part, "wb", LEVEL) as packed:
            shutil.copyfileobj(plain, packed, 1 << 20)
        os.replace(part, f"{path}.gz")
    except BaseException:
        if os.path.exists(part):
            os.unlink(part)
        raise
    os.unlink(path)


if __name__ == "__main__":
    os.nice(19)
    for argument in sys.argv[1:]:
        compress(argument)

"""Keeps a second run out of the directory of a run that is being played."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from harness.client.errors import UsageError

try:
    import fcntl
except ImportError:
    # On Windows two runs in one directory are not detected.
    fcntl = None  # type: ignore[assignment]


class DirectoryLock:
    """Holds a directory until the object is gone or its process ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        """Raises UsageError if another run holds it, and OSError."""
        self._fd = -1
        if fcntl is None:
            return
        self._fd = os.open(directory, os.O_RDONLY)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"--out {directory}: another run is writing it; choose another directory, or wait for its end"
            ) from None

    def release(self) -> None:
        """Let others have the directory."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.release()

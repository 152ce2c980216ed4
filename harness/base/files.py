"""Opening of files without waiting for ever at a pipe, reading of small ones, and atomic writing."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from harness.base import units

SETTINGS_BYTES_MAX = 4 * 1024 * 1024
"""A file of settings, such as a description of an API or a template, has no more."""
PIPE_WAIT_S = 10.0
"""Seconds in which something must come from a named pipe, or open its other end."""
_AGAIN_S = 0.05


def chunks_of(path: Path | str, size: int) -> Iterator[bytes]:
    """The bytes of a file, a device or a pipe, at most `size` at a time.

    Raises OSError, also for a pipe into which nothing was written for `PIPE_WAIT_S`.
    """
    # A blocking open of a named pipe waits until another process opens it for writing.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        regular = stat.S_ISREG(os.fstat(fd).st_mode)
        while True:
            if not regular:
                _wait_for_bytes(fd, path)
            chunk = os.read(fd, size)
            if not chunk:
                return
            yield chunk
    finally:
        os.close(fd)


def _wait_for_bytes(fd: int, path: Path | str) -> None:
    ready = select.poll()
    ready.register(fd, select.POLLIN)
    if not ready.poll(PIPE_WAIT_S * 1000):
        text = f"is a pipe or device from which nothing came for {units.seconds(PIPE_WAIT_S)}"
        raise OSError(errno.ETIMEDOUT, text, str(path))


def opened_for_writing(path: str, flags: int) -> int:
    """A descriptor of a file; of a named pipe when something reads it. Raises OSError after `PIPE_WAIT_S`."""
    end = time.monotonic() + PIPE_WAIT_S
    while True:
        try:
            fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() > end:
                text = f"is a pipe that nothing has read for {units.seconds(PIPE_WAIT_S)}"
                raise OSError(errno.ETIMEDOUT, text, path) from None
            time.sleep(_AGAIN_S)
        else:
            os.set_blocking(fd, True)
            return fd


def is_special(path: Path | str) -> bool:
    """Whether a path is a pipe or a device; False for one that is missing or cannot be looked at."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def check_regular(path: Path | str) -> None:
    """Raise OSError for a pipe or device. What is missing or a directory is left to the reader."""
    if is_special(path):
        text = "is a pipe or device; a regular file is needed, which can be read again"
        raise OSError(errno.EINVAL, text, str(path))


def bounded_bytes(path: Path) -> bytes:
    """A file of settings, also from a pipe. Raises OSError, and ends also for a device that never does."""
    data = bytearray()
    for chunk in chunks_of(path, SETTINGS_BYTES_MAX + 1):
        data += chunk
        if len(data) > SETTINGS_BYTES_MAX:
            raise OSError(errno.EFBIG, f"has more than {SETTINGS_BYTES_MAX:,} bytes", str(path))
    return bytes(data)


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

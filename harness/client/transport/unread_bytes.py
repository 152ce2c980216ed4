"""Whether bytes have arrived at a socket that nobody has read: then a kept connection is not in step."""

from __future__ import annotations

import fcntl
import select
import termios

JUST_READ_S = 0.001  # this soon after an exchange the loop has just read all bytes, so the kernel is not asked
_NOTHING = bytes(4)


def unread(fd: int) -> bool:
    """Whether bytes have arrived that the loop has not read; also true where the system cannot tell."""
    try:
        return fcntl.ioctl(fd, termios.FIONREAD, _NOTHING) != _NOTHING
    except OSError:
        return True


def readable(fd: int) -> bool:
    """Whether a read would return at once: bytes, the end of the connection, or its error."""
    asked = select.poll()
    asked.register(fd, select.POLLIN)
    return bool(asked.poll(0))

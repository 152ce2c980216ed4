"""A timer of the Linux kernel as a file descriptor: it wakes a loop within tens of microseconds."""

from __future__ import annotations

import ctypes
import math
import os
import sys
import weakref

_MONOTONIC, _NONBLOCK_CLOEXEC, _ABSOLUTE = 1, 0o2004000, 1


class _Spec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("s", ctypes.c_long),
        ("ns", ctypes.c_long),
    )


def timespec(when: float) -> tuple[int, int]:
    """Whole seconds and nanoseconds (0 to 999,999,999) of an instant, rounded up: a timer never fires early.

    Never all zero, which would disarm the timer: an instant before the clock's zero becomes one nanosecond.
    """
    return divmod(max(1, math.floor(when * 1e9) + 1), 1_000_000_000)


class TimerFd:
    """One timer on CLOCK_MONOTONIC; `fd` becomes readable when it fires, and is below 0 where there is no timerfd."""

    def __init__(self) -> None:
        self.fd = -1
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None, use_errno=True)
            self.fd = self._libc.timerfd_create(_MONOTONIC, _NONBLOCK_CLOEXEC)
            self._spec = _Spec()
            self._pointer = ctypes.byref(self._spec)
        if self.fd >= 0:
            self._close = weakref.finalize(self, os.close, self.fd)

    def arm(self, when: float) -> bool:
        """Fire at `when`, in place of any earlier setting; False if the kernel refuses."""
        self._spec.s, self._spec.ns = timespec(when)
        return bool(self._libc.timerfd_settime(self.fd, _ABSOLUTE, self._pointer, None) == 0)

    def fired(self) -> bool:
        """Read the wake-up; False if it is a stale one of a timer that was armed again."""
        try:
            os.read(self.fd, 8)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Close the descriptor."""
        if self.fd >= 0:
            self._close()
            self.fd = -1

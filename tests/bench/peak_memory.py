"""The most memory that this process ever had."""

from __future__ import annotations

import resource
import sys

_UNIT = 1 if sys.platform == "darwin" else 1024


def peak_mb() -> float:
    """Megabytes of resident memory since this program began.

    Linux keeps `ru_maxrss` when a process starts another program, so that a child has at least what its parent had when
    it was started; VmHWM is of the program alone.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1024 / 1e6
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT / 1e6

"""The one clock. Time comes from the running loop, so that virtual time needs no patching.

uvloop's `loop.time()` is a cached value with a resolution of one millisecond: good enough to sleep by, useless to
measure by. Its zero is the same as `time.monotonic()`'s, which resolves nanoseconds, so under uvloop that is read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

Clock = Callable[[], float]


def clock() -> Clock:
    """The precise clock of the running loop, in seconds; raises RuntimeError outside a loop."""
    loop = asyncio.get_running_loop()
    if type(loop).__module__.split(".")[0] == "uvloop":
        return time.monotonic
    return loop.time

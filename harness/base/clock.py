"""The one clock: the running loop's time, precise also under uvloop.

uvloop's `loop.time()` is cached and resolves one millisecond; its zero is that of `time.monotonic()`, which resolves
nanoseconds. A loop with a virtual clock keeps its own `time()`, so that a simulation needs no patching.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

Clock = Callable[[], float]


def runs_on_uvloop(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the loop is uvloop's, whose cached time is too coarse for measurements."""
    return type(loop).__module__.split(".")[0] == "uvloop"


def clock() -> Clock:
    """The precise clock of the running loop, in seconds; raises RuntimeError outside a loop."""
    loop = asyncio.get_running_loop()
    return time.monotonic if runs_on_uvloop(loop) else loop.time

"""Stop signals of a command whose event loop runs code of the user's: a template, a task, a strategy.

The loop hears of a signal only when it turns. Code that does not end keeps it from that, so such code is interrupted.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, TypeVar

STUCK_S = 3.0
"""Seconds after a signal in which the loop must turn."""
_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_UNBROKEN = ("harness.bulk.", "harness.base.")
"""Modules that are never interrupted: a file would be left between two states."""
T = TypeVar("T")


class StopSignals:
    """SIGINT and SIGTERM call `ask` in the loop; used as a context manager, in the main thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ask: Callable[[], None]) -> None:
        self._loop = loop
        self._ask = ask
        self._unheard = self._stuck = False
        self._timer: threading.Timer | None = None
        self._before: list[Any] = []

    def __enter__(self) -> None:
        self._before = [signal.signal(number, self._signal) for number in _NUMBERS]

    def __exit__(self, *error: object) -> None:
        for number, handler in zip(_NUMBERS, self._before, strict=True):
            signal.signal(number, handler)
        self._cancel()

    def _signal(self, number: int, frame: FrameType | None) -> None:
        if not self._stuck:
            self._loop.call_soon_threadsafe(self._heard)
            if not self._unheard:
                self._unheard = True
                self._wait()
            return
        self._stuck = False
        if self._unheard:
            # Such code may catch the interrupt.
            self._wait()
            if not _is_unbroken(frame):
                raise KeyboardInterrupt

    def _wait(self) -> None:
        self._timer = threading.Timer(STUCK_S, self._interrupt)
        self._timer.daemon = True
        self._timer.start()

    def _interrupt(self) -> None:
        main = threading.main_thread().ident
        if self._unheard and main is not None:
            self._stuck = True
            signal.pthread_kill(main, signal.SIGINT)

    def _heard(self) -> None:
        self._unheard = self._stuck = False
        self._cancel()
        self._ask()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _is_unbroken(frame: FrameType | None) -> bool:
    """Whether the innermost code is none of the user's."""
    name = str(frame.f_globals.get("__name__", "")) if frame is not None else ""
    return name.startswith(_UNBROKEN)


def run_through(runner: asyncio.Runner, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work; an interrupt of code in the loop ends that code, and the work goes on to its end."""
    loop = runner.get_loop()
    task = loop.create_task(work)
    while True:
        try:
            return loop.run_until_complete(task)
        except KeyboardInterrupt:
            if task.done():
                raise

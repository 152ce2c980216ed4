"""Handles stop signals, which end a run early, and closed pipes, which do not change its exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

STOPS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def stopped_as_by_ctrl_c() -> Iterator[None]:
    """Within it SIGTERM and SIGHUP do what Ctrl-C does: the command ends, a run with a partial result.

    They count once: a terminal that closes sends SIGHUP twice. A signal that is ignored (`nohup`) stays so. Outside of
    the main thread, signals stay as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in STOPS}
    mine = [number for number, handler in handlers.items() if handler is not signal.SIG_IGN]

    def stop(number: int, frame: FrameType | None) -> None:
        for one in mine:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in mine:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, handlers[number])


@contextlib.contextmanager
def reader_may_leave() -> Iterator[None]:
    """Within it a reader of our output that has gone (`| head -1`, a closed terminal) is no error."""
    try:
        yield
        # A stream that was closed before the start (`>&-`) is None.
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
    except SystemExit as end:
        if not broken_pipe(end):
            raise
    except OSError as error:
        # Writing to a closed terminal gives EIO.
        if error.errno != errno.EIO:
            raise
        discard_output()


def broken_pipe(end: SystemExit) -> bool:
    """Whether it is rich's answer to a closed pipe; rich has redirected the output already."""
    return isinstance(end.__context__, BrokenPipeError)


def discard_output() -> None:
    """Redirect further output to the null device, so that the interpreter's last flush does not fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)

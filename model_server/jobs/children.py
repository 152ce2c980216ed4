"""Worker processes of a server: a worker that ends is restarted, and all workers end with the server.

The thread that watches them also starts them: Linux sends the parent-death signal when the forking thread ends.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from model_server.jobs.redis_server import dies_with_parent

log = logging.getLogger(__name__)

STOP_S = 10.0
CHECK_S = 0.5
SHORT_LIFE_S = 10.0
"""A process that ends sooner is restarted with a backoff, which doubles each time."""
WAIT_MAX_S = 30.0


def _environment() -> dict[str, str]:
    """The environment of a worker: it finds our packages although its working directory is not on its path."""
    root = str(Path(__file__).parents[2])
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    ours = [] if root in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")} else [root]
    return {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join([*ours, *given])}


class Child:
    """One process and the time of its next start."""

    def __init__(self, line: Sequence[str]) -> None:
        self._line = line
        self._short_lives = 0
        self._start_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def check(self, now: float) -> None:
        """Start the process if it is due, or detect its end."""
        if self._process is None:
            if now >= self._start_at:
                self._start(now)
        elif (code := self._process.poll()) is not None:
            self._process = None
            self._short_lives = self._short_lives + 1 if now - self._started_at < SHORT_LIFE_S else 0
            wait_s = min(WAIT_MAX_S, 2.0**self._short_lives - 1)
            self._start_at = now + wait_s
            log.error("a worker ended with exit code %d; it is started again in %g s", code, wait_s)

    def _start(self, now: float) -> None:
        self._started_at = now
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            self._line,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            env=_environment(),
            preexec_fn=dies_with_parent(),  # noqa: PLW1509 - one prepared system call, no lock is taken
            start_new_session=True,
        )

    def terminate(self) -> None:
        """Send SIGTERM to the process."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self) -> None:
        """Wait for the end of the process; kill it after `STOP_S`."""
        if self._process is None:
            return
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Children:
    """Processes with these command lines, from the begin of the block to its end."""

    def __init__(self, lines: Sequence[Sequence[str]]) -> None:
        self._children = [Child(line) for line in lines]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="workers", daemon=True)

    def __enter__(self) -> Children:
        if self._children:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _watch(self) -> None:
        try:
            while not self._stop.is_set():
                for child in self._children:
                    try:
                        child.check(time.monotonic())
                    except OSError:
                        # The system could not start a process; the next attempt may succeed.
                        log.exception("a worker could not be started")
                self._stop.wait(CHECK_S)
        finally:
            for child in self._children:
                child.terminate()
            for child in self._children:
                child.wait()

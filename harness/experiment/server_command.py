"""Starts a server with a user's command, waits until it answers, and stops it with all its processes."""

from __future__ import annotations

import contextlib
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from harness.base import units
from harness.client.errors import UsageError
from harness.client.redaction import redact
from harness.client.transport.server import check_answers
from harness.experiment import guard

PORT = "{port}"
_POLL_S = 0.1


@contextlib.contextmanager
def started(option: str, command: str, log: Path, timeout_s: float = 60.0) -> Iterator[str]:
    """The URL of the server that the command starts; it is stopped at the end.

    `{port}` in the command is replaced by a free port of the loopback. Raises UsageError if it does not answer in time.
    """
    parts = _parts(option, command)
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        # The guard ends the server even if this process is killed.
        process = subprocess.Popen(  # noqa: S603 - the user's own command
            [sys.executable, "-I", guard.__file__, *(part.replace(PORT, str(port)) for part in parts)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait(option, process, url, log, timeout_s)
            yield url
        finally:
            _stop(process)


def _parts(option: str, command: str) -> list[str]:
    try:
        parts = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error
    if not any(PORT in part for part in parts):
        raise UsageError(f"{option}: {{port}} is missing in the command; it is replaced by a free port")
    return parts


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(option: str, process: subprocess.Popen[bytes], url: str, log: Path, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        if process.poll() is not None:
            raise UsageError(f"{option}: the command ended with exit code {process.returncode}{_last_line(log)}")
        try:
            return check_answers(url)
        except UsageError:
            if time.monotonic() > deadline:
                raise UsageError(
                    f"{option}: no answer at {url} within {units.seconds(timeout_s)}{_last_line(log)}"
                ) from None
        time.sleep(_POLL_S)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return f": {redact(lines[-1])[:300]}" if lines else f"; its output is in {log}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Let the guard stop the command and everything that it started."""
    assert process.stdin is not None  # noqa: S101 - it was asked for
    process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(2 * guard.STOP_S)

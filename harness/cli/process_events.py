"""`paceline process --events FILE`: what happens in a run as JSON, one object a line, for programs that watch it."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable
from typing import Any

import msgspec

from harness.base.files import opened_for_writing
from harness.bulk import ProcessSettings
from harness.bulk.paths import check_apart
from harness.bulk.results import Tell
from harness.bulk.sinks import write_all
from harness.client.errors import UsageError
from harness.client.redaction import redact

# Seconds between two events `status`, of a run of days, too.
STATUS_EVERY_S = 2.0


class EventLog:
    """Appends events; a disk that is full ends the log, not the run. Raises UsageError if it cannot begin."""

    def __init__(self, path: str, settings: ProcessSettings, note: Callable[[str], None]) -> None:
        check_apart(settings, {}, [("--events", path)])
        self._note = note
        self._said_at = -STATUS_EVERY_S
        self._fd = -1
        try:
            self._fd = opened_for_writing(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        except OSError as error:
            raise UsageError(f"--events {path}: {error.strerror or error}") from error
        self._path = path

    def beside(self, show: Tell) -> Tell:
        """A function that passes events to `show`, and writes them."""

        def both(event: str, facts: dict[str, Any]) -> None:
            show(event, facts)
            self(event, facts)

        return both

    def __call__(self, event: str, facts: dict[str, Any]) -> None:
        """Write an event."""
        if self._fd < 0 or (event == "status" and time.monotonic() - self._said_at < STATUS_EVERY_S):
            return
        if event == "status":
            self._said_at = time.monotonic()
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        line = msgspec.json.encode({"at": at, "event": event, **facts}).decode()
        try:
            write_all(self._fd, redact(line).encode() + b"\n", self._path)
        except OSError as error:
            self.close()
            self._note(f"--events {self._path}: ends here: {error.strerror or error}")

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

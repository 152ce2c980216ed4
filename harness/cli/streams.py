"""Opens standard streams that were closed before the start (`<&-`, `>&-`, some supervisors)."""

from __future__ import annotations

import os
import sys

from harness.client.errors import UsageError


def check_json_output(as_json: bool) -> None:
    """Raise UsageError if --json has no standard output to write to."""
    if as_json and sys.stdout is None:
        raise UsageError("--json writes to standard output, which is closed")


def write_output(content: bytes) -> None:
    """Write to standard output at once."""
    sys.stdout.buffer.write(content)
    sys.stdout.flush()


def open_closed() -> None:
    """Put the null device where a standard stream is closed.

    Otherwise the next opened file would get its number: messages would be written into it, and the event loop aborts
    when it closes it. `sys.stdin` and `sys.stdout` stay None, so that `-` can be refused.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest free number: this one
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process lives

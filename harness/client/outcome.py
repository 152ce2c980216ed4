"""Outcomes of requests, and their meaning for a limit."""

from __future__ import annotations

import enum
from collections.abc import Mapping


class Outcome(enum.IntEnum):
    """How a request ended. Record files hold the numbers, so they never change."""

    ok = 0
    rejected = 1  # 429, 503 or 529: the server says "not now"
    timed_out = 2  # no complete answer in the time allowed
    server_error = 3  # 5xx other than 503 and 529
    client_error = 4  # 4xx other than 429, and any other unexpected status
    connection_error = 5  # refused, reset, broken off, unresolvable
    bad_response = 6  # an answer that violates the API
    cancelled = 7  # given up by the client itself while it was in flight
    not_sent = 8  # never left the client
    unfinished = 9  # still in flight when the drain at the end of the run was over


class Signal(enum.Enum):
    """Meaning of an outcome for a limit."""

    success = "success"
    overload = "overload"  # the server was overloaded, or failed
    ignored = "ignored"  # never sent, caused by the client, or unclear


SIGNALS: Mapping[Outcome, Signal] = dict.fromkeys(Outcome, Signal.ignored) | {
    Outcome.ok: Signal.success,
    Outcome.rejected: Signal.overload,
    Outcome.timed_out: Signal.overload,
    Outcome.server_error: Signal.overload,
    Outcome.connection_error: Signal.overload,
}
"""The signal of every outcome; defined only here."""

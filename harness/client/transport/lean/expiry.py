"""Time-outs of exchanges on kept connections with a single timer, no object and no task for each request.

All exchanges have the same time-out, so they expire in the order in which they began: one timer for the oldest is
enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from harness.client.transport.lean.connection import Connection


class Expiry:
    """Ends exchanges that take too long; use it within a running loop.

    Args:
        timeout_s: Seconds from `begin` to the end.
        expire: Called with a connection whose exchange took too long.
    """

    __slots__ = ("_expire", "_loop", "_timeout_s", "_timer", "is_started", "watched")

    def __init__(self, timeout_s: float, expire: Callable[[Connection], None]) -> None:
        self._timeout_s = timeout_s
        self._expire = expire
        # Connection -> the instant at which its exchange began, in this order.
        self._loop = asyncio.get_running_loop()
        self.watched: dict[Connection, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        # The timer runs.
        self.is_started = False

    def watch(self, connection: Connection, now: float) -> None:
        """An exchange begins on this connection."""
        self.watched[connection] = now
        if not self.is_started:
            self.start()

    def start(self) -> None:
        """The timer is needed: there is an exchange."""
        self.is_started = True
        self._arm(self._timeout_s)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, delay_s: float) -> None:
        self._timer = self._loop.call_later(delay_s, self._ring)

    def _ring(self) -> None:
        """Expire due exchanges (to the loop's millisecond), then set the timer for the oldest that remains."""
        self.is_started = False
        late = self._loop.time() + 0.001 - self._timeout_s
        due = []
        for connection, began in self.watched.items():
            if began > late:
                self.is_started = True
                self._arm(began - late)
                break
            due.append(connection)
        for connection in due:
            del self.watched[connection]
            self._expire(connection)

"""Deadlines of exchanges on kept connections: those of one hundredth of a second share a timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from harness.client.transport.lean.connection import Connection

TICK_S = 0.01


class Deadlines:
    """Ends exchanges at their deadlines, at most a tick late; use it within a running loop.

    Args:
        expire: Called with a connection whose exchange is too late.
    """

    __slots__ = ("_expire", "_groups", "_loop")

    def __init__(self, expire: Callable[[Connection], None]) -> None:
        self._expire = expire
        self._loop = asyncio.get_running_loop()
        # Number of a tick -> the connections that end at it, and the timer.
        self._groups: dict[int, tuple[set[Connection], asyncio.TimerHandle]] = {}

    def watch(self, connection: Connection, until: float) -> set[Connection]:
        """An exchange with this deadline begins; take the connection out of the group when it is over."""
        tick = int(until / TICK_S) + 1
        found = self._groups.get(tick)
        if found is None:
            found = self._groups[tick] = set(), self._loop.call_at(tick * TICK_S, self._ring, tick)
        found[0].add(connection)
        return found[0]

    def close(self) -> None:
        """Stop all timers."""
        for _, timer in self._groups.values():
            timer.cancel()
        self._groups.clear()

    def _ring(self, tick: int) -> None:
        group, _ = self._groups.pop(tick)
        for connection in group:
            self._expire(connection)

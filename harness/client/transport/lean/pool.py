"""The connections to one server: kept ones in the order in which they became idle, and a bound if there is one.

Rules of this file
  1. Connections are given to callers in the order in which they asked: one that becomes free, or the place of one that
     is closed, is handed over, so a later caller cannot take it.
  2. A connection is handed over one turn of the loop after its answer ended, if it is still open then: many servers
     close right after an answer without saying so.
  3. One timer for all idle connections: they become idle in the order in which they expire.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from harness.base.clock import Clock
from harness.client.transport.lean.connection import Connection
from harness.client.transport.lean.lost import LostError
from harness.client.transport.unread_bytes import JUST_READ_S


class Pool:
    """The connections to one server; use it within a running loop.

    Args:
        dial: Opens a connection.
        most: Upper bound of open connections; 0 is no bound.
        keepalive_s: Seconds after which an idle connection is closed.
        now: The clock.
    """

    def __init__(self, dial: Callable[[], Awaitable[Connection]], most: int, keepalive_s: float, now: Clock) -> None:
        self._dial = dial
        self._most = most
        self._keepalive_s = keepalive_s
        self._now = now
        self._idle: deque[Connection] = deque()
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        # Places that are taken: by open connections, and by those that are being opened.
        self._open = 0
        self._all: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        # Calls that open a connection.
        self._dialling: set[asyncio.Task[Any]] = set()
        self.is_closed = False

    def idle(self, now: float) -> Connection | None:
        """The kept connection that was idle the longest; None if there is none, or if others wait for one."""
        if self._waiting:
            return None
        idle = self._idle
        while idle:
            connection = idle.popleft()
            # Soon after an exchange the loop has just read all bytes, so the kernel is not asked.
            if not connection.gone and (
                now - connection.idle_since < JUST_READ_S or connection.usable(now, self._keepalive_s)
            ):
                return connection
            self._drop(connection)
        return None

    async def connection(self, *, fresh: bool = False) -> Connection:
        """A new connection; with a bound also the next one that becomes free, unless `fresh`. Raises OSError."""
        self._check_open()
        if self._most and (self._waiting or self._open >= self._most):
            kept = await self._turn()
            if kept is not None and not fresh and not kept.gone:
                return kept
            if kept is not None:
                # Its place is taken by the new one.
                self._all.discard(kept)
                kept.close()
        else:
            self._open += 1
        try:
            return await self._dialled()
        except BaseException:
            self._left()
            raise

    def put_back(self, connection: Connection, reusable: bool) -> None:
        """The exchange on this connection is over."""
        if not reusable or self.is_closed:
            self._drop(connection)
        elif self._waiting:
            asyncio.get_running_loop().call_soon(self._hand_over, connection)
        else:
            self._keep(connection)

    def drop_idle(self) -> None:
        """Close all idle connections: the server closed one of them, so the others are likely to be closed, too."""
        while self._idle:
            self._drop(self._idle.pop())

    def close(self) -> None:
        """Close all connections, and cancel the calls that wait for one."""
        self.is_closed = True
        while (waiter := self._next()) is not None:
            waiter.cancel()
        for task in self._dialling:
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for connection in self._all:
            connection.close()
        self._all.clear()
        self._idle.clear()

    async def _dialled(self) -> Connection:
        """A new connection."""
        # Only tasks wait for a connection.
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._dialling.add(task)
        try:
            connection = await self._dial()
        finally:
            self._dialling.discard(task)
        if self.is_closed:
            connection.close()
        self._check_open()
        self._all.add(connection)
        return connection

    def _check_open(self) -> None:
        if self.is_closed:
            raise LostError("the transport was closed before the exchange was over")

    async def _turn(self) -> Connection | None:
        """Wait for a connection; None is the place of one that was closed."""
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                with contextlib.suppress(ValueError):
                    self._waiting.remove(waiter)
            elif (kept := waiter.result()) is not None:
                self.put_back(kept, reusable=not kept.gone)
            else:
                self._left()
            raise

    def _hand_over(self, connection: Connection) -> None:
        """Give a connection, or the place of one that the server has closed, to the first who waits."""
        if not connection.is_open():
            self._drop(connection)
        elif (waiter := self._next()) is not None:
            waiter.set_result(connection)
        else:
            self._keep(connection)

    def _keep(self, connection: Connection) -> None:
        """A connection becomes idle."""
        self._idle.append(connection)
        if self._timer is None:
            self._arm(self._keepalive_s)

    def _next(self) -> asyncio.Future[Connection | None] | None:
        """The first who waits."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                return waiter
        return None

    def _drop(self, connection: Connection) -> None:
        """Close a connection."""
        self._all.discard(connection)
        connection.close()
        self._left()

    def _left(self) -> None:
        """A place is free."""
        if (waiter := self._next()) is not None:
            waiter.set_result(None)
        else:
            self._open -= 1

    def _arm(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._ring)

    def _ring(self) -> None:
        """Close the connections that were idle too long, then set the timer for the oldest that remains."""
        self._timer = None
        now, idle = self._now(), self._idle
        while idle:
            left_s = idle[0].idle_left_s(now, self._keepalive_s)
            if left_s > 0:
                self._arm(max(left_s, 0.001))
                return
            self._drop(idle.popleft())

"""Several callers at once, and a gate in front of the engine."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tests.contract.servers import Answer, Caller, Host, Server, wait_until


class Crowd:
    """Callers of one server, each on a connection and a thread of its own."""

    def __init__(self, server: Server, host: Host, threads: ThreadPoolExecutor) -> None:
        self.server = server
        self._host = host
        self._threads = threads
        self._callers: list[Caller] = []

    def send(self, path: str, body: Any, **headers: str) -> Future[Answer]:
        """Post on a connection of its own, without waiting."""
        caller = Caller(self.server)
        self._callers.append(caller)
        return self._threads.submit(caller.post, path, body, **headers)

    def close_gate(self) -> None:
        self.server.app.engine.closed = True  # type: ignore[attr-defined] # a `kinds.HeldEngine`

    def open_gate(self) -> None:
        self.on_loop(self.server.app.engine.open_gate)  # type: ignore[attr-defined] # a `kinds.HeldEngine`

    def on_loop(self, step: Callable[[], None]) -> None:
        """Call where the servers run."""

        async def call() -> None:
            step()

        self._host.run(call())

    def held(self, count: int) -> None:
        """Wait until so many batches or sequences have left the queue and stand before the gate."""
        wait_until(lambda: self.server.app.engine.held == count)  # type: ignore[attr-defined] # a `kinds.HeldEngine`

    def queued(self, count: int) -> None:
        """Wait until so many items or sequences are in the queue."""
        wait_until(lambda: self.server.app.dispatcher.waiting + self.server.app.lane.waiting == count)

    def close(self) -> None:
        self.open_gate()
        for caller in self._callers:
            caller.close()

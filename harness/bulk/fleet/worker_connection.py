"""The connection of a worker to the server, which all its ranges use."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from harness.bulk.connect import connected
from harness.bulk.fleet.messages import WorkerOrder
from harness.bulk.fleet.shared_gate import WorkerGate
from harness.bulk.server_watch import Alive
from harness.client.transport.open_files import raise_limit
from harness.client.types import Request, Response, Send, Strategy


class WorkerConnection:
    """Opened for the first range, closed with the worker."""

    def __init__(self, order: WorkerOrder, strategy: Strategy, gate: WorkerGate, send: Send | None = None) -> None:
        self._order = order
        self._strategy = strategy
        self._gate = gate
        self._given = send
        self._closing = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._opened: tuple[Send, Alive | None, str] | None = None

    async def opened(self) -> tuple[Send, Alive | None, str]:
        """The transport, a probe of the server, and the server's identity. Raises UsageError if it does not answer."""
        async with self._opening:
            if self._opened is None:
                send, alive, server = await self._open()
                self._opened = send if self._order.shared else paced(send, self._gate), alive, server
            return self._opened

    async def _open(self) -> tuple[Send, Alive | None, str]:
        settings = self._order.settings
        if self._given is not None:
            return self._given, None, settings.target or ""
        raise_limit()
        opening = connected(settings, self._strategy, settings.layers.keeps_answers)
        return await self._closing.enter_async_context(opening)

    async def aclose(self) -> None:
        """Close the transport."""
        await self._closing.aclose()


def paced(send: Send, gate: WorkerGate) -> Send:
    """For strategies with a concurrency of their own: the common rate alone."""

    async def attempt(request: Request, /) -> Response:
        late = await gate.pacer.turn(request)
        if late is not None:
            return late
        gate.in_flight += 1
        try:
            response = await send(request)
        finally:
            gate.in_flight -= 1
        gate.count(response)
        gate.pacer.settle(request, response)
        return response

    return attempt

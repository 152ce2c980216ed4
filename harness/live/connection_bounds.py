"""Bounds the connections of the live page: a client that opens more can neither fill the memory nor lock the page."""

from __future__ import annotations

import asyncio

from aiohttp import web

CONNECTIONS_MAX = 96
# A connection has no transport before it is connected and after it was closed.
_MAKING_S = 0.1
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Connections:
    """Makes the protocol of each new connection.

    Beyond the bound the oldest connection without a request in work is ended; if all are busy, the new one is refused.
    """

    def __init__(self, server: web.Server) -> None:
        self._server = server
        self._busy: dict[object, int] = {}
        self._loop = asyncio.get_running_loop()
        # When each was made.
        self._made: dict[web.RequestHandler, float] = {}

    def begin(self, request: web.Request) -> None:
        """A request is being answered."""
        self._busy[request.protocol] = self._busy.get(request.protocol, 0) + 1

    def end(self, request: web.Request) -> None:
        """It was answered, or given up."""
        self._busy[request.protocol] -= 1
        if not self._busy[request.protocol]:
            del self._busy[request.protocol]

    def __call__(self) -> asyncio.BaseProtocol:
        if len(self.open()) >= CONNECTIONS_MAX:
            idle = next((one for one in self._made if one not in self._busy and one.transport is not None), None)
            if idle is None or idle.transport is None:
                return _Full()
            # What its other end has not read yet is dropped.
            idle.transport.abort()
            del self._made[idle]
        made = self._server()
        self._made[made] = self._loop.time()
        return made

    def open(self) -> list[object]:
        """The connections, the oldest first, with those that are just being made: they come in bursts."""
        now = self._loop.time()
        gone = [one for one, at in list(self._made.items()) if one.transport is None and now - at > _MAKING_S]
        for one in gone:
            del self._made[one]
        return list(self._made)


class _Full(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - the loop's streams are
        transport.write(_FULL)
        transport.close()

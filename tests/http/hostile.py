"""A hostile server in memory: it writes what a script says, in whatever pieces, to connections of the lean transport.

Time is virtual (`tests.virtual_time.virtually`), so that a slow answer costs no time and a hang is an error.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

from harness.client.transport.lean import LeanTransport
from harness.client.transport.lean.connection import Connection
from harness.client.types import Request, Response
from tests.http.test_transport_outcomes import plain

END = "end"  # the server closes its side
RESET = "reset"
Piece = bytes | float | str
"""Bytes, seconds of silence, or an end of the connection."""
Script = Callable[[int], Sequence[Piece]]
"""Number of a request, from 0 -> what the server writes for it."""


class Wire:
    """asyncio's side of one connection."""

    def __init__(self, server: Hostile, connection: Connection) -> None:
        self.server, self.connection = server, connection
        self.is_open = True
        self.unsent = self.sent = 0
        self._loop = asyncio.get_running_loop()

    def write(self, data: bytes) -> None:
        if not self.is_open:
            # As asyncio's own: the protocol is about to get `connection_lost`.
            return
        self.server.written.append(data)
        self.sent += 1
        self.unsent = self.server.unsent
        found = re.match(rb"\w+ /(\d+)", data)
        assert found is not None, data
        self._later(list(self.server.script(int(found[1]))))

    def abort(self) -> None:
        if self.is_open:
            self._end(None)

    def is_closing(self) -> bool:
        return not self.is_open

    def get_extra_info(self, name: str) -> Any:
        return None

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def greet(self, pieces: Sequence[Piece]) -> None:
        """Write before there was a request."""
        self._later(list(pieces))

    def _later(self, pieces: list[Piece]) -> None:
        if pieces:
            wait_s = pieces.pop(0) if isinstance(pieces[0], float) else 0.0
            assert isinstance(wait_s, float)
            self._loop.call_later(wait_s, self._next, pieces)

    def _next(self, pieces: list[Piece]) -> None:
        if not self.is_open:
            self.server.cut += 1
            return
        if pieces:
            piece = pieces.pop(0)
            if isinstance(piece, bytes):
                self.connection.data_received(piece)
            else:
                self._end(ConnectionResetError(104, "Connection reset by peer") if piece == RESET else None)
            self._later(pieces)

    def _end(self, error: Exception | None) -> None:
        self.is_open = False
        self._loop.call_soon(self.connection.connection_lost, error)


class Hostile:
    """The server; `transport()` reaches it."""

    def __init__(self, script: Script, greeting: Sequence[Piece] = ()) -> None:
        self.script, self.greeting = script, greeting
        self.wires: list[Wire] = []
        self.written: list[bytes] = []
        self.cut = 0  # answers that the client did not wait for
        self.unsent = 0  # bytes of each request that the kernel does not take

    def transport(self, timeout_s: float = 10.0, **settings: Any) -> LeanTransport:
        """A transport whose connections lead here."""
        made = LeanTransport("http://127.0.0.1:9", timeout_s=timeout_s, **settings)
        made._dial = self  # type: ignore[assignment]
        return made

    async def open(self, make: Callable[[], Connection]) -> Connection:
        """A new connection."""
        connection = make()
        wire = Wire(self, connection)
        self.wires.append(wire)
        connection.connection_made(wire)  # type: ignore[arg-type]
        if self.greeting:
            wire.greet(self.greeting)
            await asyncio.sleep(0.001)
        return connection


async def ask(server: Hostile, requests: Sequence[Request], *, apart_s: float = 0.0, **settings: Any) -> list[Response]:
    """One request after another. Nothing may be raised, neither to the caller nor in a callback of the loop."""
    raised: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
    async with server.transport(**settings) as send:
        responses = []
        for request in requests:
            responses.append(await send(request))
            if apart_s:
                await asyncio.sleep(apart_s)
        await asyncio.sleep(0.5)
    assert not raised, raised
    return responses


def numbered(count: int) -> list[Request]:
    """Requests whose path is their number."""
    return [plain(f"/{index}") for index in range(count)]


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The bytes, cut at these places."""
    places = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(places) if end > begin]

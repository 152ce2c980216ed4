"""A network in memory: pairs of transports on the virtual loop, so that the real client and server speak HTTP.

Rules of this file
  1. Bytes arrive in the order in which they were written, each way after `delay_s`; nothing is lost or split.
  2. Bytes written before a close arrive before it; an abort is a reset at the other end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from model_server.http.app import App
from model_server.http.serving import Serving


class Network:
    """One server and the way to it. `connect` makes a connection, as a listening socket would."""

    def __init__(self, app: App, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.connections = 0
        self._serving = Serving(app)
        self._serving.config.load()
        app.open()

    def connect(self, client: asyncio.BaseProtocol) -> Pipe:
        """The client's transport; the server has accepted when the first bytes can arrive."""
        self.connections += 1
        config = self._serving.config
        factory: Callable[..., Any] = config.http_protocol_class
        server = factory(config=config, server_state=self._serving.server_state, app_state={})
        port = 10_000 + self.connections % 50_000
        near = Pipe(client, self.delay_s, ("127.0.0.1", port), ("127.0.0.1", 80))
        far = Pipe(server, self.delay_s, ("127.0.0.1", 80), ("127.0.0.1", port))
        near.peer, far.peer = far, near
        server.connection_made(far)
        client.connection_made(near)
        return near


class Pipe(asyncio.Transport):
    """One end of a connection."""

    def __init__(self, protocol: Any, delay_s: float, here: tuple[str, int], there: tuple[str, int]) -> None:
        super().__init__({"sockname": here, "peername": there})
        self.peer: Pipe = self
        self._protocol = protocol
        self._delay_s = delay_s
        self._loop = asyncio.get_running_loop()
        # No further writes are accepted.
        self._closing = False
        # `connection_lost` was called.
        self._lost = False
        self._paused = False
        self._held: deque[bytes] = deque()
        # The other end has closed its side.
        self._ended = False

    def _send(self, deliver: Callable[..., None], *args: Any) -> None:
        if self._delay_s:
            self._loop.call_later(self._delay_s, deliver, *args)
        else:
            self._loop.call_soon(deliver, *args)

    def write(self, data: Any) -> None:
        """Send to the other end."""
        if data and not self._closing:
            self._send(self.peer.arrive, bytes(data))

    def arrive(self, data: bytes) -> None:
        """Bytes have arrived."""
        if self._paused:
            self._held.append(data)
        elif not self._closing:
            self._protocol.data_received(data)

    def arrive_end(self) -> None:
        """The other end has closed."""
        self._ended = True
        if not self._held and not self._closing and not self._protocol.eof_received():
            self.close()

    def arrive_reset(self) -> None:
        """The other end has reset the connection."""
        self._closing = True
        self._lose(ConnectionResetError("connection reset by peer"))

    def close(self) -> None:
        """Close after all written bytes have arrived."""
        if not self._closing:
            self._closing = True
            self._send(self.peer.arrive_end)
            self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        """Close at once; the other end sees a reset."""
        if not self._lost:
            self._closing = True
            self._send(self.peer.arrive_reset)
            self._loop.call_soon(self._lose, None)

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self._protocol.connection_lost(error)

    def is_closing(self) -> bool:
        """Closed, or about to be."""
        return self._closing

    def pause_reading(self) -> None:
        """Hold back arriving bytes."""
        self._paused = True

    def resume_reading(self) -> None:
        """Deliver the bytes held back."""
        self._paused = False
        while self._held and not self._paused:
            self.arrive(self._held.popleft())
        if self._ended and not self._held:
            self.arrive_end()

    def is_reading(self) -> bool:
        """Not paused."""
        return not self._paused

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Replace the protocol."""
        self._protocol = protocol

    def get_protocol(self) -> Any:
        """The protocol that receives events."""
        return self._protocol

    def get_write_buffer_size(self) -> int:
        """Nothing to flush: writes are on their way at once."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer to bound."""

    def can_write_eof(self) -> bool:
        """Half-closed connections are not simulated."""
        return False

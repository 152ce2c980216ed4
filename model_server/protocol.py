"""uvicorn's HTTP protocol and what it lacks: a disconnect as a callback, RST on purpose, our error body."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from model_server.errors import ApiError
from model_server.exchange import CONNECTION

_LINGER_ZERO = struct.pack("ii", 1, 0)


class FaceProtocol(HttpToolsProtocol):
    """One connection; it is its own `model_server.exchange.Connection`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_lost: Callable[[], None] | None = None
        self.lost = False
        self._extensions = {CONNECTION: self}

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = self._extensions  # type: ignore[typeddict-item] # a dict of dicts by the spec

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        super().connection_lost(exc)
        callback, self.on_lost = self.on_lost, None
        if callback is not None:
            callback()

    def reset(self) -> None:
        """Close with RST, so that the client sees a reset and not an end."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self._give_up()
        self.transport.abort()

    def cut(self) -> None:
        """Close after what was written; the client sees the connection end inside the answer."""
        self._give_up()
        self.transport.close()

    def _give_up(self) -> None:
        if self.cycle is not None:
            self.cycle.disconnected = True  # uvicorn then expects no more of this answer

    def send_400_response(self, msg: str) -> None:
        """Not HTTP: answered with the one error body too."""
        body = ApiError(400, msg, code="invalid_http").body()
        head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % len(body)
        self.transport.write(head + b"connection: close\r\n\r\n" + body)
        self.transport.close()

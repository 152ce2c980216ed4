"""Connections of aiohttp with one rule added: a connection that is not provably in step is never used again.

aiohttp takes bytes that arrive between two exchanges, or after an answer in the same segment, for the next answer.
Here they close the connection. The class also distinguishes a kept connection that the server closed while idle from
every other loss, because only the former is safe to send again (RFC 9110, section 9.2.2).

Private parts of aiohttp that are used: the factory of the connector's protocols and its table of idle connections.
"""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Callable
from time import monotonic
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage

from harness.client.errors import BadResponse
from harness.client.transport.answer_reader import BODILESS, INFORMATIONAL_MAX, TOO_MANY_INFORMATIONAL
from harness.client.transport.connection_errors import IDLE_CLOSE
from harness.client.transport.outcomes import LOOPBACK
from harness.client.transport.unread_bytes import JUST_READ_S, unread

_NO_CAUSE = BaseException()  # aiohttp's own mark for it is private

# Called by name, because this is the hot path and `super()` costs as much as the work of some of them.
_is_connected = ResponseHandler.is_connected
_feed_data = ResponseHandler.feed_data
_resume_reading = ResponseHandler.resume_reading
_data_received = ResponseHandler.data_received
_should_close: Callable[[ResponseHandler], bool] = ResponseHandler.should_close.fget  # type: ignore[attr-defined]


class ConnectionLostError(aiohttp.ClientConnectionError):
    """The connection broke before the answer was complete; `idle` if it was a kept one and no byte had come."""

    def __init__(self, message: str, *, idle: bool) -> None:
        super().__init__(message)
        self.idle = idle


class KeptProtocol(ResponseHandler):
    """One connection; aiohttp asks `should_close` when an exchange is over and `is_connected` before the next."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._idle = False  # between two exchanges
        self._parsing = False
        self._used = False  # for an exchange before this one
        self._early = False  # bytes came before the first request
        self._heard = False  # a byte of this exchange's answer
        self._socket_fd = -1
        self._idle_since = 0.0
        self._final: RawResponseMessage | None = None
        self._informational = 0  # answers 1xx of this exchange

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        self._socket_fd = -1 if sock is None else sock.fileno()

    def is_connected(self) -> bool:
        """Whether the next exchange may begin; the connector calls this just before it reuses an idle connection.

        False if unrequested bytes wait in the kernel.
        """
        if not _is_connected(self):
            return False
        if self._idle:
            fd = self._socket_fd
            if fd >= 0 and monotonic() - self._idle_since >= JUST_READ_S and unread(fd):
                return False
            self._used = True
            self._heard = self._idle = False
        return True

    def feed_data(self, data: Any, size: int = 0) -> None:
        self._final = data[0]
        if data[0].code >= 200:
            self._informational = 0
        else:
            self._informational += 1
            if self._informational > INFORMATIONAL_MAX:
                self._refuse_informational()
                return
        _feed_data(self, data, size)

    def _refuse_informational(self) -> None:
        """End the exchange: aiohttp keeps all these answers in memory, and reads on for ever."""
        if self._informational == INFORMATIONAL_MAX + 1:
            self._buffer.clear()
            self.set_exception(BadResponse(TOO_MANY_INFORMATIONAL))
            # `close` would remove the exception.
            if self.transport is not None:
                self.transport.close()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Resume the parser only during an exchange: after the end of an answer it has no bytes to parse."""
        _resume_reading(self, resume_parser and not self._idle)

    def data_received(self, data: bytes) -> None:
        if data:  # else aiohttp continues with its bytes
            if self._idle:
                self.close()
                return
            self._heard = True
            if self._parser is None:  # an answer without a request, on a new connection
                self._early = True
        self._parsing = True
        _data_received(self, data)
        self._parsing = False
        if data and self._idle and self._ahead():  # the exchange ended with these bytes, and there are more of them
            self.close()

    @property
    def should_close(self) -> bool:
        """The connection must not be used again; aiohttp refuses a length beside chunks by itself."""
        final = self._final
        if final is None or final.code in BODILESS or final.code < 200 or self._early or _should_close(self):
            return True
        if not self._parsing and self._ahead():
            return True
        self._idle = True
        self._idle_since = monotonic()
        return False

    def _ahead(self) -> bool:
        """Bytes of another answer have come."""
        if self._buffer or self._exception is not None:
            return True
        try:
            return self._parser is not None and self._parser.feed_eof() is not None
        except Exception:  # any parse error
            return True

    def set_exception(self, exc: BaseException, exc_cause: BaseException = _NO_CAUSE) -> None:
        if isinstance(exc, aiohttp.ClientConnectionError | OSError) and not isinstance(exc, TimeoutError):
            exc, exc_cause = self._lost(exc, exc_cause), exc
        super().set_exception(exc, exc_cause)

    def _lost(self, exc: BaseException, cause: BaseException) -> ConnectionLostError:
        """The error of a lost connection. A reset is no idle close: the server may have begun to work."""
        reset = isinstance(cause, ConnectionResetError) and not isinstance(cause, aiohttp.ClientConnectionResetError)
        if self._used and not self._heard and not reset:
            return ConnectionLostError(IDLE_CLOSE, idle=True)
        if isinstance(exc, aiohttp.ServerDisconnectedError):
            where = "inside" if self._heard else "before"
            return ConnectionLostError(f"the server closed the connection {where} its answer", idle=False)
        return ConnectionLostError(f"{type(exc).__name__}: {exc}", idle=False)


class KeptConnector(aiohttp.TCPConnector):
    """A connector of such connections, which resolves `localhost` itself."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(resolver=_Resolver(), **settings)
        self._factory = functools.partial(KeptProtocol, loop=asyncio.get_running_loop())  # type: ignore[assignment]

    def drop_idle(self) -> None:
        """Close all idle connections: the server closed one of them, so the others are likely to be closed, too."""
        for kept in self._conns.values():
            for protocol, _ in kept:
                protocol.close()


class KeptUnixConnector(aiohttp.UnixConnector):
    """A connector of such connections to a Unix socket."""

    def __init__(self, path: str, **settings: Any) -> None:
        super().__init__(path, **settings)
        self._factory = functools.partial(KeptProtocol, loop=asyncio.get_running_loop())  # type: ignore[assignment]

    def drop_idle(self) -> None:
        """Close all idle connections."""
        for kept in self._conns.values():
            for protocol, _ in kept:
                protocol.close()


class _Resolver(AbstractResolver):
    """Resolve `localhost` to both loopback addresses without a thread; leave every other name to the system."""

    def __init__(self) -> None:
        self._system: AbstractResolver | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host == "localhost":
            return [_loopback(address, port) for address in LOOPBACK]
        if self._system is None:
            self._system = aiohttp.DefaultResolver()
        return await self._system.resolve(host, port, family=family)

    async def close(self) -> None:
        if self._system is not None:
            await self._system.close()


def _loopback(address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return {
        "hostname": "localhost",
        "host": address,
        "port": port,
        "family": family,
        "proto": socket.IPPROTO_TCP,
        "flags": socket.AI_NUMERICHOST,
    }

"""The exchange of a thread of the blocking transport, which other threads can give up, and its connection."""

from __future__ import annotations

import _socket
import contextlib
import math
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

from harness.client.errors import BadResponse
from harness.client.transport.answer_reader import AnswerReader, ClosedError
from harness.client.transport.outcomes import LOOPBACK
from harness.client.transport.time_bounds import LateError
from harness.client.types import Request

_CLOSED = (ClosedError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


class Exchange:
    """A request in flight in a thread; another thread can give it up."""

    __slots__ = ("aborted", "idle_close", "request", "sock", "until")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.sock: socket.socket | None = None
        self.until = math.inf
        self.aborted = False
        self.idle_close = False  # a kept connection was closed before a byte of the answer came

    def abort(self) -> None:
        """Wake the thread, whatever it waits for.

        This sets the mark before it reads the socket; the thread drops the socket before it reads the mark. So a
        socket that was returned to the idle connections is never shut.
        """
        self.aborted = True
        sock = self.sock
        if sock is None:
            return
        with contextlib.suppress(OSError, ValueError):  # it is closed already, or TLS is just taking it over
            # The plain socket: TLS would first drop its session, and gevent would wake the hub of another thread.
            bare = _socket.socket(fileno=sock.fileno())
            try:
                bare.shutdown(socket.SHUT_RDWR)
            finally:
                bare.detach()

    def through(self, sock: socket.socket) -> None:
        """Go on with this socket, for the time that is left; raises as `allow`."""
        self.sock = sock
        self.allow()

    def allow(self) -> None:
        """Set the socket's timeout to the remaining time; raises TimeoutError if none is left."""
        left_s = self.until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        if self.aborted:
            raise ConnectionAbortedError("given up")
        if self.sock is not None:
            self.sock.settimeout(left_s)


@contextlib.contextmanager
def bounded(exchange: Exchange, bound_s: float | None, late: Callable[[float], LateError]) -> Iterator[None]:
    """A part of an exchange with a bound of its own; raises `late(bound_s)` when it is over."""
    if bound_s is None or time.monotonic() + bound_s >= exchange.until:
        yield
        return
    whole, exchange.until = exchange.until, time.monotonic() + bound_s
    try:
        yield
    except TimeoutError as error:
        raise late(bound_s) from error
    finally:
        exchange.until = whole


class Link:
    """A connection of one thread, with the reader of its answers."""

    __slots__ = ("early", "exchange", "kept", "reader", "sock")

    def __init__(self, sock: socket.socket, exchange: Exchange) -> None:
        self.sock = sock
        self.exchange = exchange
        self.early = False  # bytes came before the first request
        self.kept = False
        self.reader = AnswerReader(self._receive)

    def _receive(self, size: int) -> bytes:
        self.exchange.allow()
        return self.sock.recv(size)

    def silent(self) -> bool:
        """Whether neither a byte nor the end is waiting to be read, as required between two exchanges."""
        try:
            bare = _socket.socket(self.sock.family, self.sock.type, self.sock.proto, self.sock.fileno())
        except (OSError, ValueError):
            return False
        try:  # the plain socket also sees bytes under TLS, and does not wait for a hub of gevent
            bare.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            bare.detach()
        return False

    def closed_idle(self, error: OSError) -> bool:
        """Whether the server had closed the kept connection; after a reset it may have begun work."""
        return self.kept and not self.reader.heard and isinstance(error, _CLOSED)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.close()


def connected(host: str, port: int, exchange: Exchange) -> socket.socket:
    """A socket to the first address that accepts; each address gets its share of the time that is left."""
    addresses = _addresses(host, port)
    first: OSError | None = None
    for index, (family, address) in enumerate(addresses):
        left_s = exchange.until - time.monotonic()
        sock: socket.socket | None = None
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.settimeout(max(1e-3, left_s / (len(addresses) - index)))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            first = first or error
            if sock is not None:
                sock.close()
        else:
            return sock
    raise first or OSError(f"no address for {host}")


def connected_unix(path: str, exchange: Exchange) -> socket.socket:
    """A connection to a Unix socket."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(max(1e-3, exchange.until - time.monotonic()))
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return sock


def tunnel(exchange: Exchange, sock: socket.socket, host: str, port: int, authorization: str | None) -> None:
    """Ask a proxy, at the socket of the exchange, for a connection to the server; raises OSError if it refuses."""
    at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    line = f"CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n"
    if authorization:
        line += f"Proxy-Authorization: {authorization}\r\n"
    sock.sendall(f"{line}\r\n".encode())

    def one_byte(_: int) -> bytes:
        exchange.allow()
        return sock.recv(1)

    # Byte by byte at the end of the head: what follows belongs to TLS.
    reader = AnswerReader(one_byte)
    try:
        reader.head()
    except BadResponse as error:
        raise OSError(f"the proxy did not answer in HTTP: {error}") from error
    if not 200 <= reader.status <= 299:
        raise OSError(f"the proxy answered {reader.status}")


def _addresses(host: str, port: int) -> list[tuple[int, Any]]:
    if host == "localhost":
        v4, v6 = LOOPBACK
        return [(socket.AF_INET, (v4, port)), (socket.AF_INET6, (v6, port, 0, 0))]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # A label of the name is too long or empty.
    except UnicodeError as error:
        raise OSError(f"{host[:80]!r} is no name of a host") from error
    return [(entry[0], entry[4]) for entry in found]

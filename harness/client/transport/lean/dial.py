"""Opens connections to one server: TCP or a Unix socket, with or without TLS, over each address of its host."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from collections.abc import Callable

from harness.client.transport.lean.addresses import Addresses
from harness.client.transport.lean.connection import Connection
from harness.client.transport.lean.lost import LostError
from harness.client.transport.open_files import TOO_MANY

# Nothing there, nobody listens, no permission, not a socket.
_NO_SOCKET = {errno.ENOENT, errno.ECONNREFUSED, errno.EACCES, errno.ENOTSOCK, errno.ENOTDIR}
ADDRESS_S = 1.0  # time for an address before the next one is tried


class Dial:
    """Opens connections.

    Args:
        host: Name or address; for a Unix socket the name that TLS checks.
        port: Port.
        tls: Context of TLS; None for plain connections.
        socket_path: Path of a Unix socket, in place of host and port.
    """

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, socket_path: str | None) -> None:
        self._host, self._port = host, port
        self._tls = tls
        self._socket_path = socket_path
        self._addresses = Addresses(host, port)

    async def open(self, make: Callable[[], Connection]) -> Connection:
        """A new connection; raises OSError, and with several addresses that of the first one."""
        if self._socket_path is not None:
            return await self._connected_unix(make, self._socket_path)
        addresses = await self._addresses.all()
        if len(addresses) == 1:
            return await self._connected(make, addresses[0])
        failed: list[OSError] = []
        slow: list[str] = []
        for address in addresses:
            try:
                async with asyncio.timeout(ADDRESS_S):
                    return await self._connected(make, address)
            except OSError as error:
                if _is_final(error):
                    raise
                if isinstance(error, TimeoutError) and error.errno is None:
                    slow.append(address)
                else:
                    failed.append(error)
        # They may answer yet: a server whose queue is full lets a client wait a second or three.
        for address in slow:
            return await self._connected(make, address)
        raise failed[0]

    @property
    def _name(self) -> str | None:
        """The name that TLS checks."""
        return self._host if self._tls is not None else None

    async def _connected_unix(self, make: Callable[[], Connection], path: str) -> Connection:
        try:
            _, connection = await asyncio.get_running_loop().create_unix_connection(
                make, path, ssl=self._tls, server_hostname=self._name
            )
        except OSError as error:
            if error.errno not in _NO_SOCKET:
                raise
            # The system does not name the path.
            raise LostError(f"{os.strerror(error.errno)} (Unix socket {path})") from None
        return connection

    async def _connected(self, make: Callable[[], Connection], address: str) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(
            make, address, self._port, ssl=self._tls, server_hostname=self._name
        )
        return connection


def _is_final(error: OSError) -> bool:
    """Whether another address would not help: a certificate that is not accepted, no file descriptor."""
    return isinstance(error, ssl.SSLError | ssl.CertificateError) or error.errno in TOO_MANY

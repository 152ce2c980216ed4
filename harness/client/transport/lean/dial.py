"""Opens connections to one server: TCP or a Unix socket, with or without TLS, over each address of its host."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from harness.client.transport.lean.addresses import Addresses
from harness.client.transport.lean.connection import Connection
from harness.client.transport.open_files import TOO_MANY

ADDRESS_S = 1.0  # time for an address, if the host has another one


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
        loop = asyncio.get_running_loop()
        name = self._host if self._tls is not None else None
        if self._socket_path is not None:
            _, connection = await loop.create_unix_connection(
                make, self._socket_path, ssl=self._tls, server_hostname=name
            )
            return connection
        first: OSError | None = None
        addresses = await self._addresses.all()
        for address in addresses:
            try:
                async with asyncio.timeout(None if address is addresses[-1] else ADDRESS_S):
                    _, connection = await loop.create_connection(
                        make, address, self._port, ssl=self._tls, server_hostname=name
                    )
                    return connection
            except OSError as error:
                # A certificate that is not accepted is no fault of the address.
                if isinstance(error, ssl.SSLError | ssl.CertificateError) or error.errno in TOO_MANY:
                    raise
                first = first or error
        assert first is not None  # noqa: S101 - there is at least one address
        raise first

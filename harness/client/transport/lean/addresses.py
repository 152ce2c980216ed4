"""The addresses of a host. `localhost` is both loopback addresses; a name is looked up once for all connections."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from harness.client.transport.outcomes import LOOPBACK

KEEP_S = 10.0  # that the addresses of a name are used, as aiohttp does


class Addresses:
    """Looks up one host; use it within a running loop."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._fixed: list[str] = list(LOOPBACK) if host == "localhost" else [host] if _is_address(host) else []
        self._found: list[str] = []
        self._until = 0.0
        self._looking: asyncio.Task[list[str]] | None = None
        self._turn = 0

    async def all(self) -> list[str]:
        """The addresses, in the order in which they are to be tried. Raises OSError if the name is not known.

        Each call begins with another address of a name, so that the connections are spread over its servers.
        """
        if self._fixed:
            return self._fixed
        if asyncio.get_running_loop().time() >= self._until:
            if self._looking is None:
                self._looking = asyncio.ensure_future(self._look_up())
                self._looking.add_done_callback(self._looked)
            # One connection that is cancelled must not end the look-up of the others.
            await asyncio.shield(self._looking)
        self._turn += 1
        first = self._turn % len(self._found)
        return self._found[first:] + self._found[:first]

    async def _look_up(self) -> list[str]:
        loop = asyncio.get_running_loop()
        answers = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        found = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
        if not found:
            raise OSError(f"the name {self._host} has no address")
        self._found, self._until = found, loop.time() + KEEP_S
        return found

    def _looked(self, task: asyncio.Task[list[str]]) -> None:
        self._looking = None
        if not task.cancelled():
            # Marks an error as seen, also if all who waited have left.
            task.exception()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

"""The address of the live page: its text, its socket, and the names by which a browser may ask for it."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

from harness.client.errors import UsageError

LOOPBACK = "127.0.0.1"
BACKLOG = 64
_SHAPE = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\s:/\[\]@]+):)?(?P<port>\d{1,5})")


@dataclass(frozen=True)
class Address:
    """A host and a port. Without a host it is the loopback."""

    host: str
    port: int


def parse(text: str) -> Address:
    """HOST:PORT or PORT; an IPv6 address stands in brackets. Raises UsageError."""
    found = _SHAPE.fullmatch(text.strip())
    if found is None or int(found["port"]) > 65535:
        raise UsageError(
            f"--live {text!r}: expected HOST:PORT or PORT, such as 127.0.0.1:8090; the port is 0 (a free one) to 65535"
        )
    return Address((found["host"] or LOOPBACK).strip("[]"), int(found["port"]))


def listening(address: Address) -> socket.socket:
    """A socket that listens there. Raises UsageError in one line."""
    where = _joined(address.host, address.port)
    sock: socket.socket | None = None
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(place)
        sock.listen(BACKLOG)
    except (OSError, UnicodeError) as error:
        if sock is not None:
            sock.close()
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UsageError(
            f"--live {where}: cannot listen there: {why}. Choose another port, or 0 for a free one"
        ) from error
    sock.setblocking(False)
    return sock


def url_of(sock: socket.socket) -> str:
    """The URL of the page on this machine."""
    host, port = sock.getsockname()[:2]
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        host = "::1" if ":" in host else LOOPBACK
    return f"http://{_joined(host, port)}/"


def far_url_of(sock: socket.socket) -> str:
    """The URL of the page for other machines."""
    host, port = sock.getsockname()[:2]
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        host = socket.gethostname()
    return f"http://{_joined(host, port)}/"


def is_loopback(sock: socket.socket) -> bool:
    """Whether only this machine reaches the socket."""
    return ipaddress.ip_address(sock.getsockname()[0].partition("%")[0]).is_loopback


def may_ask(host_header: str, given: str) -> bool:
    """Whether a request with this Host header is meant for us.

    A page on the internet can make a browser ask an address of its own network under the page's own name (DNS
    rebinding). So only addresses count, and the names that this machine goes by.
    """
    found = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::\d{1,5})?", host_header.strip())
    if found is None:
        return False
    name = found[1].strip("[]").lower()
    if name in {"localhost", given.lower(), socket.gethostname().lower()}:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

"""Targets on a Unix socket: `unix:/run/app.sock`, or `unix:/run/app.sock:/v1` with a path on the server."""

from __future__ import annotations

from harness.client.errors import SettingError

SCHEME = "unix:"
HOST = "localhost"


def is_unix(url: str) -> bool:
    """Whether a target is a Unix socket."""
    return url.lstrip().startswith(SCHEME)


def split_unix(url: str, where: str = "--target") -> tuple[str, str]:
    """The path of the socket, and the path on the server without a trailing slash; raises SettingError."""
    rest = url.strip().removeprefix(SCHEME)
    if rest.startswith("//"):
        rest = rest[2:]
    socket, _, path = rest.partition(":")
    if not socket or (path and not path.startswith("/")) or any(mark in path for mark in "?#"):
        raise SettingError(f"{where} {url}: expected unix:/PATH/OF/SOCKET[:/PATH/ON/SERVER]")
    return socket, path.rstrip("/")


def joined_unix(socket: str, path: str) -> str:
    """The target again."""
    return f"{SCHEME}{socket}:{path}" if path else f"{SCHEME}{socket}"


def http_of(url: str) -> str:
    """The URL that is requested over the socket; any other URL as it is."""
    return f"http://{HOST}{split_unix(url)[1]}" if is_unix(url) else url


def socket_of(url: str) -> str | None:
    """The path of the socket; None for other URLs."""
    return split_unix(url)[0] if is_unix(url) else None

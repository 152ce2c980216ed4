"""A request as it goes over the wire: HTTP/1.1, written by the transports that are ours.

The head of each route and length of a body is encoded once.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.client.errors import SettingError
from harness.client.transport.endpoint import merged
from harness.client.transport.outcomes import joined
from harness.client.types import Request

# Without a Content-Length where there is no body.
_BODILESS_METHODS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
_NOT_IN_A_PATH = " \r\n\t\0"
HEADS_MAX = 2_048  # that are kept; a task may put a field of each item into its path


def common_headers(host: str) -> dict[str, str]:
    """Headers of every request to this host and port."""
    return {
        "Host": host if host.isascii() else host.encode("idna").decode(),
        "User-Agent": "paceline",
        "Accept": "*/*",
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
    }


class RequestMessage:
    """Writes requests to one server. `base` comes before each path; `headers` go along with every request."""

    def __init__(self, base: str, headers: dict[str, str]) -> None:
        if any(mark in base for mark in _NOT_IN_A_PATH):
            raise SettingError(
                f"the path of the target, {base!r:.100}, holds a blank, a line end or a NUL; a blank is written %20"
            )
        self._base = base
        self._headers = headers
        self._fixed = _header_lines(headers)
        self._last_headers: tuple[dict[str, str], bytes] | None = None
        self._heads: dict[tuple[str, str, int], bytes] = {}

    def of(self, request: Request) -> bytes:
        """The request as it goes over the wire."""
        method, path, body = request.method, request.path, request.body
        if request.headers is not None:
            return self._first(method, path) + self._lines_with(request.headers) + _length(method, body) + body
        head = self._heads.get((method, path, len(body)))
        if head is None:
            head = self._first(method, path) + self._fixed + _length(method, body)
            if len(self._heads) < HEADS_MAX:
                self._heads[method, path, len(body)] = head
        return head + body

    def _first(self, method: str, path: str) -> bytes:
        """The first line."""
        target = joined(self._base, path)
        if any(mark in target for mark in _NOT_IN_A_PATH):
            raise ValueError(f"the path {target!r:.100} holds a blank, a line end or a NUL")
        return f"{method} {target} HTTP/1.1\r\n".encode()

    def _lines_with(self, headers: Mapping[str, str]) -> bytes:
        """The header lines of a request with headers of its own, which are mostly those of the last one."""
        last = self._last_headers
        if last is not None and last[0] == headers:
            return last[1]
        lines = _header_lines(merged(self._headers, headers))
        self._last_headers = dict(headers), lines
        return lines


def _header_lines(headers: dict[str, str]) -> bytes:
    lines = []
    for name, value in headers.items():
        if any(mark in name + value for mark in "\r\n\0"):
            raise ValueError(f"the header {name!r} holds a line end or a NUL")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode()


def _length(method: str, body: bytes) -> bytes:
    """The end of a head: the length of the body, if there may be one."""
    return b"\r\n" if not body and method in _BODILESS_METHODS else b"Content-Length: %d\r\n\r\n" % len(body)

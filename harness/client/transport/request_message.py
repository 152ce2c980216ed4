"""A request as it goes over the wire: HTTP/1.1, written by the blocking transport itself."""

from __future__ import annotations

from collections.abc import Mapping

from harness.client.transport.endpoint import merged
from harness.client.transport.outcomes import joined
from harness.client.types import Request

# Without a Content-Length where there is no body.
_BODILESS_METHODS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


class RequestMessage:
    """Writes requests to one server. `base` comes before each path; `headers` go along with every request."""

    def __init__(self, base: str, headers: dict[str, str]) -> None:
        self._base = base
        self._headers = headers
        self._fixed = _header_lines(headers)
        self._last_headers: tuple[dict[str, str], bytes] | None = None

    def of(self, request: Request) -> bytes:
        """The request as it goes over the wire."""
        fixed = self._fixed if request.headers is None else self._lines_with(request.headers)
        body = request.body
        length = b"" if not body and request.method in _BODILESS_METHODS else b"Content-Length: %d\r\n" % len(body)
        first = f"{request.method} {joined(self._base, request.path)} HTTP/1.1\r\n".encode()
        return b"%b%b%b\r\n%b" % (first, fixed, length, body)

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

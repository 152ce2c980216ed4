"""The server of a transport, made from the arguments that all transports have."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from harness.client.transport.endpoint import access, merged, own_headers
from harness.client.transport.outcomes import base_url
from harness.client.transport.request_message import common_headers
from harness.client.transport.tls import Tls
from harness.client.transport.unix_socket import http_of, socket_of

KEEPALIVE_S = 4.0
"""Idle connections are closed before common servers (uvicorn: 5 s) close them under a request."""


@dataclass(frozen=True)
class Origin:
    """A server and what goes with every request to it. `base` holds no secret; `headers` do."""

    base: str
    socket: str | None  # path of a Unix socket
    tls: ssl.SSLContext | None  # None: plain HTTP
    headers: Mapping[str, str] = field(repr=False)  # the caller's own, with `Authorization`

    @property
    def name(self) -> str:
        """The server, under which limits are shared and remembered."""
        return f"{self.base} {self.socket or ''}"

    @property
    def host(self) -> str:
        return urlsplit(self.base).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.base).port or (80 if self.tls is None else 443)

    @property
    def path(self) -> str:
        return urlsplit(self.base).path

    @property
    def all_headers(self) -> dict[str, str]:
        """The headers of every request, for a transport that writes all of them."""
        return merged(common_headers(urlsplit(self.base).netloc.rpartition("@")[2]), self.headers)


def origin_of(
    url: str,
    api_key: str | None = None,
    authorization: str | None = None,
    headers: Mapping[str, str] | None = None,
    tls: Tls | None = None,
) -> Origin:
    """The server of these arguments; raises SettingError. An `authorization` wins over the URL and the key."""
    to = access(url, api_key)
    base = base_url(http_of(to.url))
    context = (tls or Tls()).context() if base.startswith("https:") else None
    return Origin(base, socket_of(to.url), context, own_headers(headers, authorization or to.authorization))

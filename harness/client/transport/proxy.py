"""An HTTP proxy between the client and the server."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from harness.client.errors import SettingError
from harness.client.redaction import keep_from_texts, shown
from harness.client.transport.endpoint import basic

_EXPECTED = "expected http://[USER:PASSWORD@]HOST:PORT"


@dataclass(frozen=True)
class Proxy:
    """The address of a proxy.

    Args:
        host: Name or address.
        port: Port.
        userinfo: `user:password` in the spelling of URLs, if the proxy asks for it. Default None.
    """

    host: str
    port: int
    userinfo: str | None = field(default=None, repr=False)

    @property
    def authorization(self) -> str | None:
        """The value of `Proxy-Authorization`."""
        return basic(self.userinfo) if self.userinfo else None

    @property
    def secret_url(self) -> str:
        """The address with user and password."""
        return self.url.replace("://", f"://{self.userinfo}@", 1) if self.userinfo else self.url

    @property
    def url(self) -> str:
        """The address without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def proxy_of(url: str) -> Proxy:
    """The proxy at this URL; raises SettingError.

    Args:
        url: `http://[USER:PASSWORD@]HOST:PORT`.
    """
    keep_from_texts([url])
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise SettingError(f"--proxy {shown(url)}: {_EXPECTED}") from None
    if parts.scheme != "http":
        other = f"proxies over {parts.scheme} are not supported; " if parts.scheme and "://" in url else ""
        raise SettingError(f"--proxy {shown(url)}: {other}{_EXPECTED}")
    if not parts.hostname or not port or parts.path.strip("/") or parts.query or parts.fragment:
        raise SettingError(f"--proxy {shown(url)}: {_EXPECTED}")
    userinfo = parts.netloc.rpartition("@")[0]
    return Proxy(parts.hostname, port, userinfo or None)

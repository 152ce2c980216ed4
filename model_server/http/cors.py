"""Cross-origin requests (CORS) as in the Fetch standard: web pages that may call. Off unless origins are given."""

from __future__ import annotations

from model_server.errors import Header
from model_server.http.exchange import Exchange
from model_server.http.reply import Reply

_EXPOSED = b"server-timing, x-request-id, x-model-note, x-truncated-inputs, retry-after, retry-after-ms"
_AGE_S = b"600"


class Cors:
    """CORS headers for the allowed origins."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._any = "*" in origins
        self._origins = frozenset(origin.lower().encode() for origin in origins)  # as browsers send them

    def headers(self, exchange: Exchange) -> list[Header]:
        """CORS headers of every answer to this request."""
        if self._any:
            return [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", _EXPOSED)]
        origin = exchange.headers.get(b"origin")
        vary: Header = (b"vary", b"origin")
        if origin not in self._origins:
            return [vary]
        return [vary, (b"access-control-allow-origin", origin), (b"access-control-expose-headers", _EXPOSED)]

    def preflight(self, exchange: Exchange, methods: str) -> Reply | None:
        """The answer to a preflight request; None if this is another request."""
        headers = exchange.headers
        if exchange.scope["method"] != "OPTIONS" or b"access-control-request-method" not in headers:
            return None
        asked = headers.get(b"access-control-request-headers", b"")
        allowed = [
            (b"access-control-allow-methods", methods.encode()),
            (b"access-control-allow-headers", asked or b"authorization, content-type"),
            (b"access-control-max-age", _AGE_S),
        ]
        return Reply(b"{}", headers=allowed)

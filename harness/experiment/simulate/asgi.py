"""ASGI side of one exchange between a client and an app in one process, without a byte stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from harness.base.clock import Clock
from harness.client.transport.event_stream import event_form
from harness.client.types import Request
from model_server.errors import Header
from model_server.http.exchange import CONNECTION

_PLAIN: tuple[Header, ...] = ((b"content-type", b"application/json"),)


class Broken(Exception):  # noqa: N818 - a fact about the connection
    """The connection ended before the answer did."""


class Wire:
    """One exchange; it is its own `model_server.http.exchange.Connection`."""

    __slots__ = (
        "_form",
        "_request",
        "_time",
        "arrived",
        "broken",
        "events",
        "head_at",
        "headers",
        "lost",
        "on_lost",
        "parts",
        "scope",
        "splitter",
        "stamps",
        "status",
        "stopped_at",
        "whole",
    )

    def __init__(self, request: Request, time: Clock) -> None:
        self._time = time
        self._request = request
        self.arrived = time()
        self.lost = False
        self.whole = True
        self.on_lost: Callable[[], None] | None = None
        # When the client ended the stream on purpose; NaN if it did not.
        self.stopped_at = float("nan")
        # Cause if the server ended the connection inside an answer.
        self.broken = ""
        self.status = 0
        self.head_at = float("nan")
        self.headers: list[Header] = []
        self.parts: list[bytes] = []
        self._form = event_form(request)
        self.splitter = self._form.splitter()
        # Payloads of a stream in order of arrival.
        self.events: list[bytes] = []
        # Arrival times of payloads with content.
        self.stamps: list[float] = []
        given = request.headers
        fields = list(_PLAIN)
        if given:
            fields += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in given.items()]
        path, _, query = request.path.partition("?")
        self.scope: dict[str, Any] = {
            "type": "http",
            "method": request.method,
            "path": unquote(path),
            "query_string": query.encode(),
            "headers": fields,
            "extensions": {CONNECTION: self},
        }

    async def receive(self) -> dict[str, Any]:
        """The whole request body."""
        return {"type": "http.request", "body": self._request.body, "more_body": False}

    async def send(self, message: Any) -> None:
        """Receive head and body parts of the answer, with time stamps."""
        if message["type"] == "http.response.start":
            self.status, self.headers, self.head_at = message["status"], message["headers"], self._time()
        elif part := message.get("body", b""):
            if self._request.stream and self.status in self._request.answered:
                self._feed(part)
            else:
                self.parts.append(part)

    def _feed(self, part: bytes) -> None:
        progress = self._request.progress
        # After the client has closed the connection nothing arrives.
        for payload in () if self.lost else self.splitter.feed(part):
            self.events.append(payload)
            if self._form.is_content(payload):
                self.stamps.append(self._time())
                if progress is not None and len(self.stamps) == 1:
                    progress.first_byte = self.stamps[0]
                if len(self.stamps) == self._request.stop_after:
                    self._stop()
                    return

    def _stop(self) -> None:
        """The client closes the connection, and the server sees that."""
        self.lost, self.stopped_at = True, self._time()
        if self.on_lost is not None:
            self.on_lost()

    def take_body(self, receive: Any) -> None:
        """The body is received."""

    def write_whole(self, status: int, headers: list[Header], body: bytes, send: Any) -> bool:
        """A complete answer in one go."""
        self.status, self.headers, self.head_at = status, headers, self._time()
        self.parts.append(body)
        return True

    def reset(self) -> None:
        """As RST does."""
        self.lost, self.broken = True, "the server reset the connection"

    def cut(self) -> None:
        """As FIN inside an answer does."""
        self.lost, self.broken = True, "the server closed the connection inside the answer"

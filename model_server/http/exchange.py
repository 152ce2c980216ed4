"""One HTTP exchange: the request, its timing and outcome, and callbacks for a disconnect and the end.

The server's own protocol (see `protocol`) puts itself into `scope["extensions"]`, which makes a disconnect a
plain callback and lets a fault reach the transport. Under any other ASGI server (or none, in a simulation) a task waits
for `http.disconnect` instead.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

from model_server.errors import ApiError, ClientGone, Header, invalid, too_slow

CONNECTION = "paceline.connection"

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
SendMessage = Callable[[Message], Awaitable[None]]


class Connection(Protocol):
    """Access to the TCP connection, offered by the server's own HTTP protocol."""

    on_lost: Callable[[], None] | None

    @property
    def arrived(self) -> float:
        """The instant at which the first byte of the current request was readable."""
        ...

    @property
    def lost(self) -> bool: ...

    @property
    def whole(self) -> bool:
        """True if the whole body of the request has arrived."""
        ...

    def take_body(self, receive: Receive) -> bytes | None:
        """The whole body in one call; None if it must be received."""
        ...

    def write_whole(self, status: int, headers: list[Header], body: bytes, send: SendMessage) -> bool:
        """Write a complete answer in one call; False if it must go through `send`."""
        ...

    def reset(self) -> None:
        """Close immediately with a TCP reset."""
        ...

    def cut(self) -> None:
        """Close after the bytes that were written, without the rest of the answer."""
        ...


class Exchange:
    """One request and its answer."""

    __slots__ = (
        "_at_end",
        "_on_gone",
        "_watch",
        "arrived",
        "book",
        "connection",
        "cors",
        "gone",
        "headers",
        "note",
        "outcome",
        "params",
        "receive",
        "scope",
        "send",
        "status",
        "tei",
        "timing",
        "truncated",
    )

    def __init__(self, scope: Scope, receive: Receive, send: SendMessage, now: float) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        extensions = scope.get("extensions")
        self.connection: Connection | None = extensions.get(CONNECTION) if extensions else None
        self.arrived = self.connection.arrived if self.connection is not None else now
        self.gone = False
        self.params: dict[str, str] = {}  # path parameters: `/v1/jobs/{id}`
        self.status = 0
        self.timing = NO_TIMING
        # The model's note, a header of every answer.
        self.note: bytes | None = None
        self.cors: list[Header] | None = None
        # Number of inputs that were cut to the model's bound, as requested.
        self.truncated = 0
        # Set by injected faults and other deviations from a regular answer.
        self.outcome: str | None = None
        self.book: Any = None
        # The body has TEI's format, so errors have it too.
        self.tei = False
        self._at_end: Callable[[], None] | None = None
        self._on_gone: Callable[[], None] | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def path(self) -> str:
        return str(self.scope["path"])

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the query string; the last value of each name."""
        return dict(parse_qsl(self.scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True))

    @property
    def deadline(self) -> float:
        """The caller's deadline on the server's clock, from `X-Request-Timeout-Ms`; inf without that header.

        Raises `ApiError` unless the header is a number > 0.
        """
        given = self.headers.get(b"x-request-timeout-ms")
        if given is None:
            return math.inf
        try:
            milliseconds = float(given)
        except ValueError:
            milliseconds = math.nan
        if not milliseconds > 0:
            raise invalid("X-Request-Timeout-Ms: must be a number > 0", "X-Request-Timeout-Ms")
        return self.arrived + milliseconds / 1000

    async def body(self, bytes_max: int, timeout_s: float) -> tuple[bytes, bool]:
        """The request body, and True if it arrived as a whole.

        Raises `ApiError` 413 for a too large body and 408 for a too slow one, `ClientGone` if the client disconnects.
        """
        length = self.headers.get(b"content-length")
        if length is not None and int(length) > bytes_max:
            raise too_large(bytes_max)
        if self.connection is not None and self.connection.whole:
            # The body has arrived, so no timeout is needed.
            whole = self.connection.take_body(self.receive)
            if whole is None:
                return await self._read(bytes_max)
            if len(whole) > bytes_max:
                raise too_large(bytes_max)
            return whole, True
        try:
            async with asyncio.timeout(timeout_s):
                return await self._read(bytes_max)
        except TimeoutError:
            raise too_slow(timeout_s) from None

    async def _read(self, bytes_max: int) -> tuple[bytes, bool]:
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part: bytes = message.get("body", b"")
            parts.append(part)
            size += len(part)
            if size > bytes_max:
                raise too_large(bytes_max)
            more = message.get("more_body", False)
        return (parts[0], True) if len(parts) == 1 else (b"".join(parts), False)

    def when_gone(self, callback: Callable[[], None]) -> None:
        """Call `callback` once when the client disconnects; immediately if it already has."""
        self._on_gone = callback
        if self.gone or (self.connection is not None and self.connection.lost):
            self._lost()
        elif self.connection is not None:
            self.connection.on_lost = self._lost
        elif self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._watch_receive())

    def at_end(self, callback: Callable[[], None]) -> None:
        """Call `callback` once at the end of the exchange, with any outcome."""
        self._at_end = callback

    def close(self) -> None:
        """End the exchange: call the `at_end` callback and drop the others."""
        self._on_gone = None
        if self._at_end is not None:
            self._at_end()
            self._at_end = None
        if self.connection is not None:
            self.connection.on_lost = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _lost(self) -> None:
        self.gone = True
        callback, self._on_gone = self._on_gone, None
        if callback is not None:
            callback()

    async def _watch_receive(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self._lost()


class Timing:
    """The content of an answer's Server-Timing header."""

    __slots__ = ("batch_ms", "compute_ms", "items", "length", "queue_ms", "tokens")

    def __init__(self, queue_s: float, compute_s: float, items: int, length: int, tokens: int) -> None:
        self.queue_ms = max(0.0, queue_s) * 1e3
        # A batch is formed when a worker is free, so there is no wait between queue and computation.
        self.batch_ms = 0.0
        self.compute_ms = compute_s * 1e3
        self.items = items
        self.length = length
        self.tokens = tokens

    def header(self) -> bytes:
        """The header: `name;dur=milliseconds`, with the batch's size, padded length and tokens in `desc`."""
        return b'queue;dur=%.3f, batch;dur=%.3f;desc="n=%d;pad=%d;tok=%d", compute;dur=%.3f' % (
            self.queue_ms,
            self.batch_ms,
            self.items,
            self.length,
            self.tokens,
            self.compute_ms,
        )


NO_TIMING = Timing(0.0, 0.0, 0, 0, 0)
NO_TIMING_HEADER = NO_TIMING.header()


def too_large(bytes_max: int) -> ApiError:
    """The error for a body above the bound."""
    return ApiError(413, f"the body is larger than {bytes_max} bytes", code="body_too_large")

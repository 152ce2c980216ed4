"""One HTTP exchange: what came in, and who is told when the client hangs up.

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
    """What a transport-aware server offers of the TCP connection."""

    on_lost: Callable[[], None] | None

    @property
    def arrived(self) -> float:
        """When the present request's first byte was there to be read."""
        ...

    @property
    def lost(self) -> bool: ...

    @property
    def whole(self) -> bool:
        """All of the request's body is here."""
        ...

    def write_whole(self, status: int, headers: list[Header], body: bytes, send: SendMessage) -> bool:
        """Write a complete answer in one go; False if this has to go through `send`."""
        ...

    def reset(self) -> None:
        """Close with RST, at once."""
        ...

    def cut(self) -> None:
        """Close after what was written, without finishing the answer."""
        ...


class Exchange:
    """One request and the way back."""

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
        self.params: dict[str, str] = {}  # of the path: `/v1/jobs/{id}`
        self.status = 0
        self.timing = NO_TIMING
        self.note: bytes | None = None  # what every answer has to say of the model
        self.cors: list[Header] | None = None  # for scripts of web pages
        self.truncated = 0  # inputs that were cut to the model's bound, as the caller asked
        self.outcome: str | None = None  # set by what breaks an answer on purpose
        self.book: Any = None
        self.tei = False  # the body turned out to be TEI's: so are the errors
        self._at_end: Callable[[], None] | None = None
        self._on_gone: Callable[[], None] | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def path(self) -> str:
        return str(self.scope["path"])

    @property
    def query(self) -> dict[str, str]:
        """The query string's parameters; of one given twice, the last."""
        return dict(parse_qsl(self.scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True))

    @property
    def deadline(self) -> float:
        """When the caller stops caring (`X-Request-Timeout-Ms`), on the server's clock; inf if it does not say.

        Raises `ApiError` for what is no number above 0.
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
        """The request body, and whether all of it was there at once.

        Raises `ApiError` 413 over the bound and 408 over the time, `ClientGone` if the client left in it.
        """
        length = self.headers.get(b"content-length")
        if length is not None and int(length) > bytes_max:
            raise too_large(bytes_max)
        if self.connection is not None and self.connection.whole:
            return await self._read(bytes_max)  # nothing to wait for: no timer
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
        """Call back once if the client hangs up from now on; at once if it already has."""
        self._on_gone = callback
        if self.gone or (self.connection is not None and self.connection.lost):
            self._lost()
        elif self.connection is not None:
            self.connection.on_lost = self._lost
        elif self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._watch_receive())

    def at_end(self, callback: Callable[[], None]) -> None:
        """Call back once when the exchange is over, however it ends."""
        self._at_end = callback

    def close(self) -> None:
        """The exchange is over: nobody but `at_end` is called any more."""
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
    """What Server-Timing says of an answer."""

    __slots__ = ("batch_ms", "compute_ms", "items", "length", "queue_ms", "tokens")

    def __init__(self, queue_s: float, compute_s: float, items: int, length: int, tokens: int) -> None:
        self.queue_ms = max(0.0, queue_s) * 1e3
        self.batch_ms = 0.0  # batches are formed late, by the worker that is free: nothing waits between
        self.compute_ms = compute_s * 1e3
        self.items = items
        self.length = length
        self.tokens = tokens

    def header(self) -> bytes:
        """RFC-like: name;dur=milliseconds, with the batch's size, padded length and tokens in `desc`."""
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
    """The body is over the bound."""
    return ApiError(413, f"the body is larger than {bytes_max} bytes", code="body_too_large")

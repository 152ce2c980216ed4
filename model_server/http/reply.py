"""Replies. A reply writes itself, so an injected fault is another kind of reply."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from model_server.errors import Header
from model_server.http.exchange import NO_TIMING, NO_TIMING_HEADER, Exchange

JSON_TYPE: Header = (b"content-type", b"application/json")
TEXT_TYPE: Header = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
SSE_HEADERS: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
)


class Reply:
    """A whole answer."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self,
        body: bytes,
        status: int = 200,
        headers: list[Header] | None = None,
        content_type: Header = JSON_TYPE,
    ) -> None:
        self.body = body
        self.status = status
        self.headers = headers
        self.content_type = content_type

    async def write(self, exchange: Exchange) -> None:
        """Send the whole answer."""
        exchange.status = self.status
        connection = exchange.connection
        if connection is not None and connection.write_whole(
            self.status, _headers(exchange, self, len(self.body)), self.body, exchange.send
        ):
            return
        await start(exchange, self, len(self.body))
        await exchange.send({"type": "http.response.body", "body": self.body})


class StreamReply(Reply):
    """A stream of server-sent events, or of lines: every item of `events` is one or more encoded events."""

    __slots__ = ("events",)

    def __init__(self, events: AsyncGenerator[bytes, None], content_type: bytes | None = None) -> None:
        kind = SSE_HEADERS[0] if content_type is None else (b"content-type", content_type)
        super().__init__(b"", headers=list(SSE_HEADERS[1:]), content_type=kind)
        self.events = events

    async def write(self, exchange: Exchange) -> None:
        """Send the events. Headers are sent with the first event, so that an earlier error can have its own status."""
        started = False
        async with aclosing(self.events) as events:
            async for event in events:
                if not started:
                    await start(exchange, self, None)
                    started = True
                await exchange.send({"type": "http.response.body", "body": event, "more_body": True})
        await exchange.send({"type": "http.response.body", "body": b""})


async def start(exchange: Exchange, reply: Reply, length: int | None) -> None:
    """Send status and headers; without a length the body is chunked."""
    exchange.status = reply.status
    headers = _headers(exchange, reply, length)
    await exchange.send({"type": "http.response.start", "status": reply.status, "headers": headers})


def _headers(exchange: Exchange, reply: Reply, length: int | None) -> list[Header]:
    timing = exchange.timing
    headers = [
        reply.content_type,
        (b"server-timing", NO_TIMING_HEADER if timing is NO_TIMING else timing.header()),
    ]
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    request_id = exchange.headers.get(b"x-request-id")
    if request_id is not None:
        headers.append((b"x-request-id", request_id))
    if exchange.note is not None:
        headers.append((b"x-model-note", exchange.note))
    if exchange.truncated:
        headers.append((b"x-truncated-inputs", b"%d" % exchange.truncated))
    if exchange.cors is not None:
        headers += exchange.cors
    if reply.headers:
        headers += reply.headers
    return headers

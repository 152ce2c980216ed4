"""Closes the connection inside the body: fewer bytes than Content-Length promised."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from mock_server.faults._base import Answer, ChanceFault, Site
from model_server.http.exchange import Exchange
from model_server.http.reply import Reply, StreamReply, start


class TruncatedFault(ChanceFault, frozen=True, kw_only=True):
    """Whole answers only; `broken-stream` is for the others."""

    fraction: Annotated[float, Meta(ge=0.0, lt=1.0, description="of the body that still arrives")] = 0.5

    async def apply(self, site: Site, answer: Answer) -> Reply | None:
        """The same answer, cut."""
        reply = await answer()
        return reply if isinstance(reply, StreamReply) else TruncatedReply(reply, self.fraction)


class TruncatedReply(Reply):
    """Promises the whole length and breaks off."""

    __slots__ = ("fraction",)

    def __init__(self, reply: Reply, fraction: float) -> None:
        super().__init__(reply.body, reply.status, reply.headers, reply.content_type)
        self.fraction = fraction

    async def write(self, exchange: Exchange) -> None:
        """Some of it."""
        await start(exchange, self, len(self.body))
        part = self.body[: int(len(self.body) * self.fraction)]
        await exchange.send({"type": "http.response.body", "body": part, "more_body": True})
        exchange.outcome = "broken"
        if exchange.connection is not None:
            exchange.connection.cut()


FAULT = TruncatedFault

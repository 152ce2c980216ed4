"""Closes the connection inside the body: sends fewer bytes than Content-Length says."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from mock_server.faults._base import Answer, ChanceFault, Site
from model_server.http.exchange import Exchange
from model_server.http.reply import Reply, StreamReply, start


class TruncatedFault(ChanceFault, frozen=True, kw_only=True):
    """Affects whole answers only; `broken-stream` breaks streams."""

    fraction: Annotated[float, Meta(ge=0.0, lt=1.0, description="share of the body that is sent")] = 0.5

    async def apply(self, site: Site, answer: Answer) -> Reply | None:
        """The same answer, cut off."""
        reply = await answer()
        return reply if isinstance(reply, StreamReply) else TruncatedReply(reply, self.fraction)


class TruncatedReply(Reply):
    """A reply that announces its whole length and closes the connection early."""

    __slots__ = ("fraction",)

    def __init__(self, reply: Reply, fraction: float) -> None:
        super().__init__(reply.body, reply.status, reply.headers, reply.content_type)
        self.fraction = fraction

    async def write(self, exchange: Exchange) -> None:
        """Write the first part of the body, then close the connection."""
        await start(exchange, self, len(self.body))
        part = self.body[: int(len(self.body) * self.fraction)]
        await exchange.send({"type": "http.response.body", "body": part, "more_body": True})
        exchange.outcome = "broken"
        if exchange.connection is not None:
            exchange.connection.cut()


FAULT = TruncatedFault

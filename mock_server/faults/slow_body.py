"""Sends the headers immediately, then the body in small pieces over a long time."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from mock_server.faults._base import Answer, ChanceFault, Seconds, Site
from mock_server.timers import Timers
from model_server.http.exchange import Exchange
from model_server.http.reply import Reply, StreamReply, start


class SlowBodyFault(ChanceFault, frozen=True, kw_only=True):
    """Affects whole answers only."""

    duration_s: Annotated[Seconds, Meta(description="time from the first byte of the body to the last")]
    pieces: Annotated[int, Meta(ge=2, le=10_000, description="number of pieces of the body")] = 10

    async def apply(self, site: Site, answer: Answer) -> Reply | None:
        """The same answer, slower."""
        reply = await answer()
        return reply if isinstance(reply, StreamReply) else SlowReply(reply, self, site.timers)


class SlowReply(Reply):
    """A reply that writes its pieces at absolute instants."""

    __slots__ = ("fault", "timers")

    def __init__(self, reply: Reply, fault: SlowBodyFault, timers: Timers) -> None:
        super().__init__(reply.body, reply.status, reply.headers, reply.content_type)
        self.fault = fault
        self.timers = timers

    async def write(self, exchange: Exchange) -> None:
        """Write the pieces, each at its time."""
        await start(exchange, self, len(self.body))
        begun, count = self.timers.clock(), self.fault.pieces
        cuts = [len(self.body) * index // count for index in range(count + 1)]
        for index in range(count):
            if index:
                await self.timers.sleep_until(begun + self.fault.duration_s * index / (count - 1))
            piece = self.body[cuts[index] : cuts[index + 1]]
            await exchange.send({"type": "http.response.body", "body": piece, "more_body": index < count - 1})


FAULT = SlowBodyFault

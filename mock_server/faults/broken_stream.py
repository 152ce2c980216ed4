"""Breaks a stream of server-sent events: cuts it off, sends garbage between events, or sends an error event."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Literal

from msgspec import Meta

from mock_server.faults._base import Answer, ChanceFault, Site
from model_server.errors import ApiError
from model_server.http.exchange import Exchange
from model_server.http.reply import Reply, StreamReply


class BrokenStreamFault(ChanceFault, frozen=True, kw_only=True):
    """Affects streams only."""

    how: Annotated[
        Literal["cut", "end", "garbage", "error"],
        Meta(
            description="cut: closes the connection; end: ends the stream without its end event; garbage: sends one "
            "event that is not JSON; error: sends an error event and ends the stream"
        ),
    ] = "cut"
    after_events: Annotated[int, Meta(ge=0, le=1_000_000, description="intact events before the fault")] = 3

    async def apply(self, site: Site, answer: Answer) -> Reply | None:
        """The same stream, broken."""
        reply = await answer()
        return BrokenStream(reply.events, self) if isinstance(reply, StreamReply) else reply


class BrokenStream(StreamReply):
    """A stream with some intact events and then the fault."""

    __slots__ = ("fault",)

    def __init__(self, events: AsyncGenerator[bytes, None], fault: BrokenStreamFault) -> None:
        super().__init__(events)
        self.fault = fault

    async def write(self, exchange: Exchange) -> None:
        """Write the intact events, then apply the fault."""
        whole = self.events
        self.events = self._broken(exchange, whole)
        try:
            await super().write(exchange)
        except _CutOff:
            if exchange.connection is not None:
                exchange.connection.cut()
        finally:
            await whole.aclose()

    async def _broken(self, exchange: Exchange, events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        left, how = self.fault.after_events, self.fault.how
        async for several in events:
            for event in several.split(b"\n\n")[:-1]:
                if left == 0:
                    exchange.outcome = "broken"
                    yield _BREAKS.get(how, b": cut\n\n")
                    if how == "cut":
                        raise _CutOff
                    if how != "garbage":
                        return
                left -= 1
                yield event + b"\n\n"


class _CutOff(Exception):  # noqa: N818 - a signal inside this file
    """Ends the stream; no further bytes are written."""


_ERROR = ApiError(500, "injected fault", code="injected_fault", type="server_error")
_BREAKS = {
    "garbage": b'data: {"text": \n\n',
    "error": b"data: " + _ERROR.body() + b"\n\n",
}

FAULT = BrokenStreamFault

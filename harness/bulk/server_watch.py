"""Waits for a server that is gone, and detects items that make the server drop connections."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from harness.base.clock import clock
from harness.bulk.outage import Outage
from harness.bulk.row_items import Ticket
from harness.client.types import Outcome, Request, Response, Send

Alive = Callable[[], Awaitable[bool]]
"""A probe: whether the server accepts connections."""

# First pause before an item is sent again after a failed connection.
_AGAIN_S = 0.25
# Tries of an item whose connections fail although the server accepts connections.
_TRIES = 3


class ServerWatch:
    """Follows answers and failures; delays requests during an outage and gives up when the patience is exceeded."""

    def __init__(
        self,
        patience_s: float,
        # Set before the first request.
        alive: Alive | None,
        tickets: Callable[[], Iterable[Ticket]],
        on_waiting: Callable[[], None],
        on_gone: Callable[[float], None],
    ) -> None:
        self._outage = Outage(patience_s)
        self.alive = alive
        self._tickets = tickets
        self._on_waiting = on_waiting
        self._on_gone = on_gone
        self._probing: asyncio.Task[None] | None = None
        # Cause of the last failed connection.
        self.error = ""

    def answered(self) -> None:
        """The server sent an answer of any kind."""
        self._outage.answered()

    def watched(self, send: Send) -> Send:
        """The transport; each failed connection counts at once.

        A strategy may send only a probe now and then during an outage, and a layer may send again before an item fails:
        counted by items, the end of the patience would come much too late.
        """

        async def attempt(request: Request, /) -> Response:
            response = await send(request)
            if response.outcome is Outcome.connection_error:
                self.error = response.error or self.error
                self._outage.refused(clock()())
                if self._outage.down:
                    self._look()
            return response

        return attempt

    def comes_again(self, ticket: Ticket, why: str | None = None) -> bool:
        """Whether to send an item again after a failed connection: until the item is known to be the cause."""
        self.error = why or self.error
        now, outage = clock()(), self._outage
        outage.refused(now)
        if 0 <= ticket.refused < outage.answers or ticket.tries >= _TRIES:
            return False
        ticket.refused, ticket.not_before = outage.answers, now + _AGAIN_S * 2**ticket.tries
        return True

    async def probe(self, ticket: Ticket) -> None:
        """Probe the server before an item is sent again; if it is up, count a try of the item."""
        if self.alive is not None:
            if await self.alive():
                ticket.tries += 1
            else:
                self._outage.gone()

    @property
    def down(self) -> bool:
        """Whether nothing gets through: await `back` before sending."""
        return self._outage.down

    @property
    def waits_s(self) -> float:
        """Seconds for which the server has taken no connection; 0 if it is not down."""
        return self._outage.lasts_s(clock()()) if self._outage.down else 0.0

    async def back(self) -> None:
        """Wait until the server is back or given up; all callers share one probe loop."""
        await asyncio.wait({self._look()})

    def _look(self) -> asyncio.Task[None]:
        """The probe loop; begins it if there is none."""
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe_until_back())
        return self._probing

    async def _probe_until_back(self) -> None:
        outage, now = self._outage, clock()
        self._on_waiting()
        while True:
            await asyncio.sleep(outage.pause_s(now()))
            there = self.alive is None or await self.alive()
            if outage.over(now()):
                self._on_gone(outage.lasts_s(now()))
                return
            if there:
                outage.look_again()
                for ticket in self._tickets():
                    # Answers before the outage do not count against the item.
                    if ticket.refused >= 0:
                        ticket.refused = outage.answers
                return

    async def close(self) -> None:
        """Stop probing; waiting callers continue."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

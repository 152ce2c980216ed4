"""Waiting for a server that has gone, and telling its death from an item that it cannot bear."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from harness.base.clock import clock
from harness.bulk.outage import Outage
from harness.bulk.row_items import Ticket

Alive = Callable[[], Awaitable[bool]]
"""Does anything accept connections?"""

_AGAIN_S = 0.25  # until an item that found no connection is sent again, at first
_TRIES = 3  # for an item that finds none although the server accepts connections


class ServerWatch:
    """Told what came back; holds requests up while nothing gets through, and gives up when patience is at its end."""

    def __init__(
        self,
        patience_s: float,
        alive: Alive | None,
        tickets: Callable[[], Iterable[Ticket]],
        on_waiting: Callable[[], None],
        on_gone: Callable[[float], None],
    ) -> None:
        self._outage = Outage(patience_s)
        self._alive = alive
        self._tickets = tickets
        self._on_waiting = on_waiting
        self._on_gone = on_gone
        self._looking: asyncio.Task[None] | None = None
        self.error = ""  # why the last item found no connection

    def answered(self) -> None:
        """The server said something, whatever it was."""
        self._outage.answered()

    def comes_again(self, ticket: Ticket, why: str | None = None) -> bool:
        """Is an item that found no connection to be sent again? Until it is shown to be at fault, the server is."""
        self.error = why or self.error
        now, outage = clock()(), self._outage
        outage.refused(now)
        if 0 <= ticket.refused < outage.answers or ticket.tries >= _TRIES:
            return False
        ticket.refused, ticket.not_before = outage.answers, now + _AGAIN_S * 2**ticket.tries
        return True

    async def look(self, ticket: Ticket) -> None:
        """Before an item is sent again: is there a server, so that it may be the item's fault?"""
        if self._alive is not None:
            if await self._alive():
                ticket.tries += 1
            else:
                self._outage.gone()

    @property
    def down(self) -> bool:
        """Nothing gets through: send nothing before `back` has returned."""
        return self._outage.down

    async def back(self) -> None:
        """Wait, with everybody else who has something to send, until there is a server or no more hope."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_out())
        await asyncio.wait({self._looking})

    async def _look_out(self) -> None:
        outage, now = self._outage, clock()
        self._on_waiting()
        while True:
            await asyncio.sleep(outage.pause_s(now()))
            there = self._alive is None or await self._alive()
            if outage.over(now()):
                self._on_gone(outage.lasts_s(now()))
                return
            if there:
                outage.look_again()
                for ticket in self._tickets():
                    if ticket.refused >= 0:  # whoever was answered before is no sign against it
                        ticket.refused = outage.answers
                return

    async def close(self) -> None:
        """Look no more; whoever waits goes on."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

"""Closed sessions: a turn is not sent before the turn before it in its session is answered."""

from __future__ import annotations

import asyncio
from array import array

from harness.client.types import Request, Response, Send

_BEGUN, _DONE = 1, 2


class Turns:
    """Holds back turns. `befores` has the position of the turn before each item; -1: none.

    A turn waits for one that was begun and is not answered. It does not wait for one that was not begun: a strategy
    that sends items in another order would stand still. Requests wait only for those that began before them, so that
    two with several items each never wait for each other.
    """

    def __init__(self, befores: array[int]) -> None:
        self._befores = befores
        self._states = bytearray(len(befores))
        self._waiting: dict[int, asyncio.Event] = {}

    def layer(self, send: Send) -> Send:
        """The send that waits. The wait of a turn is queue wait."""

        async def in_turn(request: Request, /) -> Response:
            positions = [item.index for item in request.items]
            earlier = self._earlier(positions)
            # Before the wait: the turn after this one waits for it, too.
            for position in positions:
                self._states[position] = _BEGUN
            try:
                for event in earlier:
                    await event.wait()
                return await send(request)
            finally:
                for position in positions:
                    self._end(position)

        return in_turn

    def _earlier(self, positions: list[int]) -> list[asyncio.Event]:
        """What ends the turns before these that are begun."""
        befores = [before for position in positions if (before := self._befores[position]) >= 0]
        begun = [before for before in befores if before not in positions and self._states[before] == _BEGUN]
        return [self._waiting.setdefault(before, asyncio.Event()) for before in begun]

    def _end(self, position: int) -> None:
        self._states[position] = _DONE
        if (event := self._waiting.pop(position, None)) is not None:
            event.set()

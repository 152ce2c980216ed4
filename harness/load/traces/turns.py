"""Closed sessions: a turn is not sent before the turn before it in its session is answered."""

from __future__ import annotations

import asyncio
from array import array

from harness.client.types import Request, Response, Send

_BEGUN, _DONE = 1, 2


class Turns:
    """Holds back turns. `befores` has the position of the turn before each item; -1: none.

    A turn waits for one that was begun and is not answered. It does not wait for one that was not begun: a strategy
    that sends items in another order would stand still.
    """

    def __init__(self, befores: array[int]) -> None:
        self._befores = befores
        self._states = bytearray(len(befores))
        self._waiting: dict[int, asyncio.Event] = {}

    def layer(self, send: Send) -> Send:
        """The send that waits. What a turn waits is queue wait."""

        async def in_turn(request: Request, /) -> Response:
            positions = [item.index for item in request.items]
            # Before the wait: the turn after this one waits for it, too.
            for position in positions:
                self._states[position] = _BEGUN
            try:
                for position in positions:
                    await self._before(position, positions)
                return await send(request)
            finally:
                for position in positions:
                    self._end(position)

        return in_turn

    async def _before(self, position: int, together: list[int]) -> None:
        before = self._befores[position]
        if before < 0 or before in together or self._states[before] != _BEGUN:
            return
        await self._waiting.setdefault(before, asyncio.Event()).wait()

    def _end(self, position: int) -> None:
        self._states[position] = _DONE
        if (event := self._waiting.pop(position, None)) is not None:
            event.set()

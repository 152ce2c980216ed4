"""Stops all answers for a while: answers due in the window are sent at its end."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from random import Random
from typing import Annotated

from msgspec import Meta

from mock_server.faults._base import Answer, Fault, Seconds, Site
from model_server.errors import ApiError
from model_server.http.reply import Reply, StreamReply


class StallFault(Fault, frozen=True, kw_only=True):
    """Delays every answer, refusal and token that is due between `start_s` and `end_s` until `end_s`."""

    end_s: Annotated[Seconds, Meta(description="end of the stall")]

    def strikes(self, path: str, elapsed_s: float, rng: Random) -> bool:
        """True also for requests that arrived before the window: the due time of their answer counts."""
        return not self.routes or path in self.routes

    async def apply(self, site: Site, answer: Answer) -> Reply | None:
        """Pass on the answer; inside the window, wait for its end first."""
        try:
            reply = await answer()
        except ApiError:
            await self._hold(site)
            raise
        if isinstance(reply, StreamReply):
            reply.events = self._held(site, reply.events)
        else:
            await self._hold(site)
        return reply

    async def _hold(self, site: Site) -> None:
        end = self.window_end(site.timers.clock() - site.zero)
        if end is not None:
            await site.timers.sleep_until(site.zero + end)

    async def _held(self, site: Site, events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        try:
            async for event in events:
                await self._hold(site)
                yield event
        finally:
            await events.aclose()


FAULT = StallFault

"""The whole server stops answering for a while: what is due in the window comes at its end."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from random import Random
from typing import Annotated

from msgspec import Meta

from mock_server.faults._base import Answer, Fault, Seconds, Site
from model_server.errors import ApiError
from model_server.http.reply import Reply, StreamReply


class StallFault(Fault, frozen=True, kw_only=True):
    """Holds every answer, refusal and token due between `start_s` and `end_s` until `end_s`."""

    end_s: Annotated[Seconds, Meta(description="answers come again from here")]

    def strikes(self, path: str, elapsed_s: float, rng: Random) -> bool:
        """Also those that arrived before it: what counts is when their answer is due."""
        return not self.routes or path in self.routes

    async def apply(self, site: Site, answer: Answer) -> Reply | None:
        """Pass on, but not inside the window."""
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

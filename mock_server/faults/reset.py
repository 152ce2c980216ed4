"""Resets the connection: the client sees ECONNRESET and no answer."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from mock_server.faults._base import Answer, ChanceFault, Seconds, Site
from model_server.http.reply import Reply


class ResetFault(ChanceFault, frozen=True, kw_only=True):
    """A TCP reset before the work, or after it so that only the answer is lost."""

    when: Annotated[Literal["before", "after"], Meta(description="reset before or after the work")] = "before"
    delay_s: Annotated[Seconds, Meta(description="wait before the reset")] = 0.0

    async def apply(self, site: Site, answer: Answer) -> Reply | None:
        """Reset the connection; end without an answer if the HTTP server gives no access to it."""
        if self.when == "after":
            await answer()
        if self.delay_s:
            await site.timers.sleep_until(site.timers.clock() + self.delay_s)
        site.exchange.outcome = "broken"
        if site.exchange.connection is not None:
            site.exchange.connection.reset()
        return None


FAULT = ResetFault

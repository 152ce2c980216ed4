"""Sends a complete HTTP answer, status 200, whose body is not valid JSON."""

from __future__ import annotations

from mock_server.faults._base import Answer, ChanceFault, Site
from model_server.http.reply import Reply, StreamReply


class MalformedFault(ChanceFault, frozen=True, kw_only=True):
    """Affects whole answers only; `broken-stream` breaks streams."""

    async def apply(self, site: Site, answer: Answer) -> Reply | None:
        """The same answer, its last character replaced by two commas."""
        reply = await answer()
        if not isinstance(reply, StreamReply):
            reply.body = reply.body[:-1] + b",,"
            site.exchange.outcome = "broken"
        return reply


FAULT = MalformedFault

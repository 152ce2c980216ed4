"""Sends valid JSON, status 200, with wrong fields: missing, null or of another type."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from mock_server.faults._base import Answer, ChanceFault, Site
from model_server.http.reply import Reply, StreamReply


class WrongAnswerFault(ChanceFault, frozen=True, kw_only=True):
    """Affects whole answers only."""

    how: Annotated[Literal["missing", "null", "type"], Meta(description="error in every field")] = "missing"

    async def apply(self, site: Site, answer: Answer) -> Reply | None:
        """The same answer with every field made wrong."""
        reply = await answer()
        if not isinstance(reply, StreamReply):
            reply.body = msgspec.json.encode(self._spoilt(msgspec.json.decode(reply.body)))
            site.exchange.outcome = "broken"
        return reply

    def _spoilt(self, answer: Any) -> Any:
        if isinstance(answer, list):
            return [] if self.how == "missing" else [self._spoilt(entry) for entry in answer]
        if isinstance(answer, dict):
            return {} if self.how == "missing" else {key: self._spoilt(value) for key, value in answer.items()}
        return None if self.how == "null" else {"wrong": True}


FAULT = WrongAnswerFault

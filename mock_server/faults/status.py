"""Answers with an error status instead of the result, before or after the work."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from mock_server.faults._base import Answer, ChanceFault, Seconds, Site
from model_server.errors import ApiError
from model_server.http.reply import Reply, StreamReply


class StatusFault(ChanceFault, frozen=True, kw_only=True):
    """An error status, immediately or after a delay."""

    status: Annotated[int, Meta(ge=400, le=599, description="HTTP status")] = 500
    when: Annotated[
        Literal["before", "after"], Meta(description="fail before or after the work; after: streams are not affected")
    ] = "before"
    delay_s: Annotated[Seconds, Meta(description="wait before the answer")] = 0.0
    retry_after_s: Annotated[Seconds | None, Meta(description="Retry-After to send")] = None

    async def apply(self, site: Site, answer: Answer) -> Reply | None:
        """Raise the error. With "after", a stream or the refusal of an inner fault is passed on unchanged."""
        if self.when == "after":
            reply = await answer()
            if isinstance(reply, StreamReply):
                return reply
        if self.delay_s:
            begun = site.exchange.arrived if self.when == "before" else site.timers.clock()
            await site.timers.sleep_until(begun + self.delay_s)
        kind = "rate_limit_error" if self.status == 429 else "server_error" if self.status >= 500 else "injected"
        raise ApiError(
            self.status, "injected fault", code="injected_fault", type=kind, retry_after_s=self.retry_after_s
        )


FAULT = StatusFault

"""Deadline of an item, over all of its attempts and waits."""

from __future__ import annotations

import math
from collections.abc import Awaitable
from typing import ClassVar

import msgspec

from harness.base.clock import Clock, clock
from harness.client.errors import SettingError
from harness.client.types import Outcome, Request, Response, Send


class Deadline:
    """Gives each request `timeout_s` from its items' due time (in production: from now) to its answer, all in all.

    Args:
        inner: Sends one attempt.
        timeout_s: Seconds from an item's due time (in production: from the call) to its answer, over all
            attempts.
    """

    place: ClassVar[int] = 40

    def __init__(self, inner: Send, timeout_s: float) -> None:
        if not timeout_s > 0:
            raise SettingError(f"timeout_s={timeout_s!r} must be above 0")
        self._inner = inner
        self._timeout_s = timeout_s
        self._now: Clock | None = None
        self.expired = 0  # requests whose deadline had passed before they were sent

    def __call__(self, request: Request, /) -> Awaitable[Response]:
        now = self._now = self._now or clock()
        start = min((item.due for item in request.items if not math.isnan(item.due)), default=now())
        deadline = min(request.deadline, start + self._timeout_s)
        if now() >= deadline:
            self.expired += 1
            return _expired(now())
        return self._inner(msgspec.structs.replace(request, deadline=deadline))

    def figures(self) -> dict[str, int]:
        """Requests whose deadline had passed before they were sent."""
        return {"expired": self.expired}


async def _expired(now: float) -> Response:
    return Response(Outcome.not_sent, done=now, error="its deadline passed before it could be sent")

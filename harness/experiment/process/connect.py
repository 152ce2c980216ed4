"""From a URL to a send: the transport that the strategy wants, and a look whether anything is there."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

from harness.client.errors import UsageError
from harness.client.types import Send, Strategy
from harness.experiment.process.settings import Settings
from harness.experiment.process.watch import Alive
from harness.experiment.target import check_answers, check_url


@contextlib.asynccontextmanager
async def connected(settings: Settings, strategy: Strategy) -> AsyncIterator[tuple[Send, Alive]]:
    """The open transport; raises UsageError if the URL is none or nothing answers there."""
    if settings.target is None:
        raise UsageError("--target URL is missing: the server to send to")
    url = check_url(settings.target)
    await asyncio.to_thread(check_answers, url)

    async def alive() -> bool:
        with contextlib.suppress(UsageError):
            await asyncio.to_thread(check_answers, url)
            return True
        return False

    async with _transport(url, settings, strategy) as transport:
        yield transport, alive


def _transport(url: str, settings: Settings, strategy: Strategy) -> Any:
    key = os.environ.get("PACELINE_TARGET_KEY") or None
    timeout_s = settings.layers.timeout_s
    if strategy.blocking:
        from harness.client.blocking import BlockingTransport

        return BlockingTransport(url, threads=getattr(strategy, "threads", 1), timeout_s=timeout_s, api_key=key)
    from harness.client.transport import HttpTransport

    return HttpTransport(url, timeout_s=timeout_s, api_key=key)

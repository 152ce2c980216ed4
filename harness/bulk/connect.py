"""Connects to the server: opens the transport that the strategy needs and checks that the server answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from harness.bulk.server_watch import Alive
from harness.bulk.settings import ProcessSettings
from harness.client.errors import UsageError
from harness.client.transport.choice import transport_of
from harness.client.transport.server import check_answers, check_route, check_url, identity
from harness.client.types import Send, Strategy


@contextlib.asynccontextmanager
async def connected(
    settings: ProcessSettings, strategy: Strategy, named: bool
) -> AsyncIterator[tuple[Send, Alive, str]]:
    """The open transport, a probe of the server, and the server's identity (its URL, unless `named`).

    Raises UsageError if the URL is invalid or nothing answers there.
    """
    if settings.target is None:
        raise UsageError("--target URL is missing: the server to send to")
    to = settings.connection.access(settings.target)
    url = check_url(to.url)
    await asyncio.to_thread(check_answers, url, to)
    await asyncio.to_thread(check_route, url, strategy, settings.strategy.partition(":")[0], to)
    server = await asyncio.to_thread(identity, url, to) if named else url

    async def alive() -> bool:
        with contextlib.suppress(UsageError):
            await asyncio.to_thread(check_answers, url, to)
            return True
        return False

    async with transport_of(strategy, to, settings.layers.timeout_s, name=settings.transport) as transport:
        yield transport, alive, server

"""The bound on the time until an answer begins, for the transport on aiohttp: it counts once the request is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from harness.client.transport.time_bounds import no_answer


def first_byte_trace(bound_s: float) -> aiohttp.TraceConfig:
    """Sets the limit of an exchange once its request is sent."""

    async def sent(session: Any, context: Any, parameters: Any) -> None:
        context.trace_request_ctx.reschedule(asyncio.get_running_loop().time() + bound_s)

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(sent)
    return trace


async def begun_within(
    bound_s: float, send: Callable[[asyncio.Timeout], Awaitable[aiohttp.ClientResponse]]
) -> aiohttp.ClientResponse:
    """The head of the answer; raises LateError if it does not come within the bound."""
    try:
        async with asyncio.timeout(None) as limit:
            return await send(limit)
    except TimeoutError:
        if limit.expired():
            raise no_answer(bound_s) from None
        raise

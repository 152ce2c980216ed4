"""Computes an item of a job through its route in the process: no socket, the same checks, the same batches."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from model_server.errors import ApiError, Header, invalid
from model_server.http.exchange import CONNECTION, Exchange, Message, Receive, SendMessage
from model_server.jobs.job import ItemResult, JobSettings
from model_server.masks import check_mask

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from model_server.http.app import App
    from model_server.http.routes import Route

log = logging.getLogger(__name__)


class _Inside:
    """The connection of an exchange without a socket: it cannot be lost."""

    on_lost: Callable[[], None] | None = None
    arrived = 0.0
    lost = False
    whole = True

    def take_body(self, receive: Receive) -> bytes | None:
        return None

    def write_whole(self, status: int, headers: list[Header], body: bytes, send: SendMessage) -> bool:
        raise RuntimeError("an item of a job is not written anywhere")

    reset = cut = lambda self: None


async def _nothing(message: Message | None = None) -> Any:
    raise RuntimeError("an item of a job has no socket")


def check(app: App, endpoint: str, raw: bytes, index: int) -> None:
    """Raises `ApiError`, which names the item, unless this is a valid body for the endpoint."""
    try:
        body = route_of(app, endpoint)[1](raw)
        if getattr(body, "stream", False):
            raise invalid("stream: a job has no stream", "stream")
        if endpoint == "/fill-mask":
            given = body.text if body.text is not None else body.inputs
            for text in [given] if isinstance(given, str) else given or []:
                check_mask(text)
    except ApiError as error:
        error.message = f"inputs[{index}]: {error.message}"
        error.param = f"inputs[{index}]" + (f".{error.param}" if error.param else "")
        raise


def route_of(app: App, endpoint: str) -> tuple[Route, Callable[[bytes], Any]]:
    """The route and its body decoder; raises `ApiError` if the route does not support jobs."""
    found = app.find("POST", endpoint)
    if found is None or not found[0].work or found[1] is None:
        known = ", ".join(sorted(app.job_endpoints()))
        raise invalid(f"endpoint: {endpoint[:100]!r} does not support jobs; these do: {known}", "endpoint")
    return found[0], found[1]


async def answer(app: App, endpoint: str, raw: bytes) -> tuple[int, bytes]:
    """Status and body of the route's answer, as over HTTP."""
    connection = _Inside()
    connection.arrived = app.clock()
    scope = {"path": endpoint, "method": "POST", "headers": [], "extensions": {CONNECTION: connection}}
    exchange = Exchange(scope, _nothing, _nothing, connection.arrived)
    try:
        route, decode = route_of(app, endpoint)
        reply = await route.handler(app, exchange, decode(raw))
    except ApiError as error:
        return error.status, error.body()
    except Exception:
        log.exception("unexpected error in an item of a job, %s", endpoint)
        problem = ApiError(500, "internal error", code="internal_error", type="server_error")
        return problem.status, problem.body()
    finally:
        exchange.close()
    return reply.status, reply.body


async def with_retries(
    app: App,
    endpoint: str,
    index: int,
    raw: bytes,
    settings: JobSettings,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    given_up: Callable[[], bool] = lambda: False,
) -> ItemResult | None:
    """The item's result. Server errors are retried, and a full server is waited for; None if the job is given up."""
    failures = 0
    while True:
        status, body = await answer(app, endpoint, raw)
        if status < 500:
            return ItemResult(index, status, body)
        if status != 503:
            failures += 1
            if failures > settings.retries:
                return ItemResult(index, status, body)
        if given_up():
            return None
        await sleep(settings.retry_delay_s if status != 503 else 0.1)

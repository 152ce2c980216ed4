"""Routes for operators: health, readiness, metrics, request counts, batches and the OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from model_server.errors import broken, draining, starting
from model_server.http.exchange import Exchange
from model_server.http.metrics import render
from model_server.http.openapi import document
from model_server.http.reply import TEXT_TYPE, Reply
from model_server.http.routes import Route
from model_server.jobs.job import unavailable
from model_server.scheduling.batching.policy import BatchPolicy
from model_server.scheduling.dispatch import BatchEntry

if TYPE_CHECKING:
    from model_server.http.app import App

_encode = msgspec.json.Encoder().encode


class Status(msgspec.Struct):
    """State of the server."""

    status: str


class Outcomes(msgspec.Struct):
    """Counts of requests by outcome; `seen` is the sum of the others."""

    seen: int
    finished: int
    refused: int
    failed: int
    broken: int
    disconnected: int
    in_flight: int


class CountsAnswer(msgspec.Struct):
    """Counts of all work routes together, and of each route that was called."""

    total: Outcomes
    routes: dict[str, Outcomes]


class BatchesAnswer(msgspec.Struct):
    """The last batches, oldest first."""

    now: float
    policy: BatchPolicy
    batches: list[BatchEntry]


async def health(app: App, exchange: Exchange, body: None) -> Reply:
    return Reply(b'{"status":"ok"}')


async def ready(app: App, exchange: Exchange, body: None) -> Reply:
    if app.draining:
        raise draining()
    if app.engine.failure is not None:
        raise broken(app.engine.failure)
    if not app.engine.ready:
        raise starting()
    if app.jobs is not None and app.jobs.problem is not None:
        raise unavailable(app.jobs.problem)
    return Reply(b'{"status":"ready"}')


async def metrics(app: App, exchange: Exchange, body: None) -> Reply:
    return Reply(render(app).encode(), content_type=TEXT_TYPE)


async def debug_counts(app: App, exchange: Exchange, body: None) -> Reply:
    return Reply(_encode(app.counts.as_dict()))


async def debug_batches(app: App, exchange: Exchange, body: None) -> Reply:
    return Reply(_encode(BatchesAnswer(app.clock(), app.dispatcher.policy, list(app.dispatcher.log))))


async def openapi(app: App, exchange: Exchange, body: None) -> Reply:
    return Reply(_encode(document(app.routes)))


def _ops(path: str, handler: Any, summary: str, answer: Any, **more: Any) -> Route:
    return Route("GET", path, handler, summary, "ops", answer=answer, work=False, **more)


ROUTES = [
    _ops("/health", health, "The process is running", Status, open=True),
    _ops("/ready", ready, "The server accepts work", Status, open=True, statuses=(503,)),
    _ops("/metrics", metrics, "Prometheus text", str, open=True, content_type="text/plain"),
    _ops("/debug/counts", debug_counts, "Counts of requests by outcome", CountsAnswer, open=True),
    _ops("/debug/batches", debug_batches, "The last 1024 batches", BatchesAnswer, open=True),
    _ops("/openapi.json", openapi, "OpenAPI document", dict[str, Any], open=True),
]

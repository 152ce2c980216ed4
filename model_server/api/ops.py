"""The routes for whoever runs the server: health, metrics, what it counted, what it batched, what it speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from model_server.errors import draining
from model_server.exchange import Exchange
from model_server.metrics import render
from model_server.openapi import document
from model_server.reply import TEXT_TYPE, Reply
from model_server.routes import Route

if TYPE_CHECKING:
    from model_server.app import App

_encode = msgspec.json.Encoder().encode


async def health(app: App, exchange: Exchange, body: None) -> Reply:
    return Reply(b'{"status":"ok"}')


async def ready(app: App, exchange: Exchange, body: None) -> Reply:
    if app.draining:
        raise draining()
    return Reply(b'{"status":"ready"}')


async def metrics(app: App, exchange: Exchange, body: None) -> Reply:
    return Reply(render(app).encode(), content_type=TEXT_TYPE)


async def debug_counts(app: App, exchange: Exchange, body: None) -> Reply:
    return Reply(_encode(app.counts.as_dict()))


async def debug_batches(app: App, exchange: Exchange, body: None) -> Reply:
    return Reply(_encode({"now": app.clock(), "batches": [entry._asdict() for entry in app.dispatcher.log]}))


async def openapi(app: App, exchange: Exchange, body: None) -> Reply:
    return Reply(_encode(document(app.routes)))


def _ops(path: str, handler: Any, summary: str, answer: Any, **more: Any) -> Route:
    return Route("GET", path, handler, summary, "ops", answer=answer, work=False, **more)


ROUTES = [
    _ops("/health", health, "The process is up", dict[str, str], open=True),
    _ops("/ready", ready, "It takes work", dict[str, str], open=True),
    _ops("/metrics", metrics, "Prometheus text", str, open=True, content_type="text/plain"),
    _ops("/debug/counts", debug_counts, "Every exchange seen, and what became of it", dict[str, Any], open=True),
    _ops("/debug/batches", debug_batches, "The last 1024 batches", dict[str, Any], open=True),
    _ops("/openapi.json", openapi, "This document", dict[str, Any], open=True),
]
